import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Ctx } from "../../../lib/ctx.ts";
import { messageOf, wrapFault } from "../../../lib/faults.ts";
import { type HostConfig, type HostSettings, locate, noSettings } from "./host-config.ts";
import { parseHostsFile } from "./hosts-file.ts";

/**
 * The hosts that stand in for a registry, in the order in which they are to be tried; the last is the registry itself.
 * Shape: the first of `folders` that has `HOST_PORT_`, `HOST:PORT` or `_default` counts. Each holds a hosts.toml, or docker's
 * `*.crt`, `*.cert` and `*.key`.
 * Errors: what reading says, but for what is missing. A hosts.toml that cannot be read as one is logged, and the
 * certificates beside it count, as under containerd.
 * Source: containerd core/remotes/docker/config/hosts.go and config_unix.go.
 */
export async function registryHosts(
  ctx: Ctx,
  host: string,
  folders: readonly string[],
  defaultScheme: string,
): Promise<readonly HostConfig[]> {
  const folder = await hostFolder(host, folders);
  const settings = folder === undefined ? [noSettings] : await readFolder(ctx, folder);
  return settings.map((one) => locate(host, one, defaultScheme));
}

async function hostFolder(host: string, roots: readonly string[]): Promise<string | undefined> {
  const names = [host.replace(/:(\d+)$/, "_$1_"), host, "_default"];
  for (const root of roots) {
    for (const name of names) if (await exists(join(root, name))) return join(root, name);
  }
  return undefined;
}

async function readFolder(ctx: Ctx, folder: string): Promise<HostSettings[]> {
  const file = join(folder, "hosts.toml");
  const text = (await readIfThere(file)) ?? "";
  if (text === "") return [await readCertificates(folder)];
  try {
    return parseHostsFile(text, folder, (key) => ctx.log.warn(`${file} has a key that means nothing`, { key }));
  } catch (error) {
    ctx.log.error(`failed to decode ${file}`, { error: messageOf(error) });
    return [await readCertificates(folder)];
  }
}

/** Docker's layout: each `.crt` is a CA, each `.cert` a client's certificate with the `.key` of the same name. */
async function readCertificates(folder: string): Promise<HostSettings> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw wrapFault(`read ${folder}`, error);
  });
  const names = entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
  const inFolder = (name: string): string => join(folder, name);
  const clientPairs = names
    .filter((name) => name.endsWith(".cert"))
    .map((name) => {
      const key = `${name.slice(0, -".cert".length)}.key`;
      return [inFolder(name), inFolder(names.includes(key) ? key : name)] as const;
    });
  return { ...noSettings, caFiles: names.filter((name) => name.endsWith(".crt")).map(inFolder), clientPairs };
}

async function exists(path: string): Promise<boolean> {
  return (await missingAsUndefined(stat(path))) !== undefined;
}

function readIfThere(path: string): Promise<string | undefined> {
  return missingAsUndefined(readFile(path, "utf8"));
}

async function missingAsUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw wrapFault("registry hosts", error);
  }
}
