import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import { randomHex } from "../names.ts";
import type { RegistryCredentials } from "./credentials.ts";

/** Docker's config.json, as far as it is about registries. */
export interface DockerConfig {
  readonly path: string;
  readonly auths: ReadonlyMap<string, RegistryCredentials>;
  /** The helper that keeps everything. */
  readonly credsStore: string;
  /** Helpers of single hosts. */
  readonly credHelpers: ReadonlyMap<string, string>;
  /** All of the file, for who writes it again. */
  readonly document: Readonly<Record<string, unknown>>;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Where docker keeps its config.json: in DOCKER_CONFIG, or in .docker of one's home. */
export function dockerConfigPath(env: Env): string {
  const folder = env["DOCKER_CONFIG"] ?? "";
  return join(folder === "" ? join(env["HOME"] ?? homedir(), ".docker") : folder, "config.json");
}

/** Reads the file; one that is not there is empty. Errors: failedPrecondition that names the file. */
export async function readDockerConfig(env: Env): Promise<DockerConfig> {
  const path = dockerConfigPath(env);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw trouble(path, error);
    text = "{}";
  }
  try {
    const document = asTable(JSON.parse(text === "" ? "{}" : text));
    return {
      path,
      document,
      auths: new Map(Object.entries(asTable(document["auths"])).flatMap(([server, entry]) => authEntry(server, entry))),
      credsStore: asText(document["credsStore"]),
      credHelpers: new Map(
        Object.entries(asTable(document["credHelpers"])).map(([host, name]) => [host, asText(name)]),
      ),
    };
  } catch (error) {
    throw trouble(path, error);
  }
}

/** The helper that keeps a server's credentials; undefined when they are in the file. */
export function helperFor(config: DockerConfig, server: string): string | undefined {
  const name = config.credHelpers.get(server) || config.credsStore;
  return name === "" ? undefined : name;
}

/** Puts a server's credentials into the file, or takes them out. Effects: the file is replaced at once, for its owner only. */
export async function writeAuth(
  config: DockerConfig,
  server: string,
  credentials: RegistryCredentials | undefined,
): Promise<void> {
  const auths: Record<string, unknown> = { ...asTable(config.document["auths"]) };
  if (credentials === undefined) delete auths[server];
  else auths[server] = { auth: Buffer.from(`${credentials.username}:${credentials.secret}`).toString("base64") };
  const next = join(dirname(config.path), `.config.json.${randomHex(8)}`);
  try {
    await mkdir(dirname(config.path), { recursive: true, mode: 0o700 });
    await writeFile(next, `${JSON.stringify({ ...config.document, auths }, undefined, "\t")}\n`, {
      mode: 0o600,
      flush: true,
    });
    await chmod(next, 0o600);
    await rename(next, config.path);
  } catch (error) {
    await rm(next, { force: true });
    throw trouble(config.path, error);
  }
}

function authEntry(server: string, value: unknown): [string, RegistryCredentials][] {
  const entry = asTable(value);
  const token = asText(entry["identitytoken"]);
  if (token !== "") return [[server, { username: "", secret: token }]];
  const plain = Buffer.from(asText(entry["auth"]), "base64").toString().replace(/\0+$/, "");
  const colon = plain.indexOf(":");
  if (colon > 0) return [[server, { username: plain.slice(0, colon), secret: plain.slice(colon + 1) }]];
  const [username, secret] = [asText(entry["username"]), asText(entry["password"])];
  return username === "" || secret === "" ? [] : [[server, { username, secret }]];
}

function asTable(value: unknown): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  throw new TypeError(`${JSON.stringify(value)} is not a table`);
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function trouble(path: string, error: unknown): FaultError {
  return new FaultError("failedPrecondition", `docker's configuration ${quote(path)}: ${messageOf(error)}`, {
    cause: error,
  });
}
