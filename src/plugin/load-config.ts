import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, normalize, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { FaultError, messageOf, quote } from "../lib/faults.ts";
import { type ConfigNote, configVersion, fileSchema, legacyKeys, type TopConfig, topSchema } from "./config.ts";
import { ConfigDocument, type Origin } from "./config-document.ts";
import { IssueList } from "./issues.ts";
import { migrate } from "./migrate.ts";
import { tomlLines } from "./toml-lines.ts";

/** A configuration, read, migrated and merged. */
export interface LoadedConfig {
  /** The file that all of it began with; empty where there is none. */
  readonly path: string;
  /** Every file that was read. */
  readonly files: ReadonlySet<string>;
  readonly top: TopConfig;
  /** For the plugins' tables. */
  readonly document: ConfigDocument;
  readonly notes: readonly ConfigNote[];
}

/**
 * Reads a configuration file and all that it imports; each later file wins over the earlier.
 * Errors: invalidArgument with every mistake on a line of its own, `file:line: key: expected ..., got ...`; notFound
 * (a file that was named is not there).
 * Source: containerd cmd/containerd/server/config/config.go, LoadConfigWithPlugins.
 */
export async function loadConfig(path: string): Promise<LoadedConfig> {
  const issues = new IssueList();
  const loaded = new Set<string>();
  const pending = [{ path: resolve(path), importer: "" }];
  let document = new ConfigDocument();
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    if (loaded.has(next.path)) continue;
    loaded.add(next.path);
    const file = await readDocument(next.path, next.importer);
    const read = checkFile(next.path, file, issues);
    document = document.mergedWith(migrate(file, read.version));
    for (const found of await resolveImports(next.path, read.imports))
      pending.push({ path: found, importer: next.path });
  }
  const top = topSchema.decode(document.values, [], silentReport);
  checkUris(document, top, issues);
  issues.throwIfWrong();
  return { path: resolve(path), files: loaded, top, document, notes: issues.notes };
}

/** The configuration of a daemon that has no file. */
export function defaultConfig(): LoadedConfig {
  return {
    path: "",
    files: new Set(),
    top: topSchema.decode({}, [], silentReport),
    document: new ConfigDocument(),
    notes: [],
  };
}

/** Says nothing: what is decoded with it was checked file by file before. */
const silentReport = { unknown: () => {}, invalid: () => {} };

async function readDocument(path: string, importer: string): Promise<ConfigDocument> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const whose = importer === "" ? "" : `${importer}: imports: `;
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw new FaultError(missing ? "notFound" : "unknown", `${whose}read ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return parseDocument(path, text);
}

/** Parses one file. Errors: invalidArgument, `file:line:column: what TOML does not allow`. */
export function parseDocument(path: string, text: string): ConfigDocument {
  try {
    const values = parse(text);
    const lines = tomlLines(text);
    return new ConfigDocument(
      values,
      new Map([...lines].map(([key, line]): [string, Origin] => [key, { file: path, line }])),
    );
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const why = (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    throw new FaultError("invalidArgument", `${path}:${error.line}:${error.column}: ${why}`, { cause: error });
  }
}

function checkFile(
  path: string,
  document: ConfigDocument,
  issues: IssueList,
): { version: number; imports: readonly string[] } {
  const read = fileSchema.decode(document.values, [], issues.reportFor(document, path));
  const version = Object.hasOwn(document.values, "version") ? read.version : 0;
  if (version > configVersion || version < 0)
    issues.wrong(
      path,
      document.origin(["version"])?.line,
      `expected containerd config version equal to or less than \`${configVersion}\`, got \`${version}\``,
    );
  if (version === configVersion) checkLegacy(path, document, issues);
  else if (version >= 0 && version < configVersion)
    issues.inform(
      path,
      document.origin(["version"])?.line,
      `configuration of version ${version || 1} is migrated to ${configVersion} in memory; "config migrate" prints what it comes to`,
    );
  return { version, imports: read.imports };
}

function checkLegacy(path: string, document: ConfigDocument, issues: IssueList): void {
  for (const key of legacyKeys)
    if (document.get([key]) !== undefined)
      issues.warn(
        path,
        document.origin([key])?.line,
        `${quote(key)} is not read in version ${configVersion}: its keys stand in plugins."io.containerd.server.v1.*"`,
      );
  for (const key of ["address", "uid", "gid"])
    if (document.get(["debug", key]) !== undefined)
      issues.warn(
        path,
        document.origin(["debug", key])?.line,
        `debug.${key} is not read in version ${configVersion}: it stands in plugins."io.containerd.server.v1.debug"`,
      );
}

function checkUris(document: ConfigDocument, top: TopConfig, issues: IssueList): void {
  for (const [key, what] of [
    ["disabled_plugins", "disabled"],
    ["required_plugins", "required"],
  ] as const)
    for (const [index, uri] of top[key].entries())
      if (!uri.includes(".")) {
        const origin = document.origin([key, index]);
        issues.wrong(
          origin?.file ?? "",
          origin?.line,
          `invalid ${what} plugin URI ${quote(uri)} expect io.containerd.x.vx`,
        );
      }
}

/** Relative to the file that imports; a pattern that matches nothing is no error. */
async function resolveImports(parent: string, imports: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pattern of imports) {
    const path = normalize(isAbsolute(pattern) ? pattern : resolve(dirname(parent), pattern));
    found.push(...(path.includes("*") ? await matches(path) : [path]));
  }
  return found;
}

/** The files of a pattern. Shape: a folder that is not there has none. Source: Go's filepath.Glob. */
async function matches(pattern: string): Promise<readonly string[]> {
  const files = new Bun.Glob(pattern).scan({ absolute: true, dot: true, onlyFiles: true, cwd: "/" });
  try {
    return (await Array.fromAsync(files)).toSorted();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
