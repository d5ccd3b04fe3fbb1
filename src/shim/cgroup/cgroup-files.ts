import { readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../sys/index.ts";
import type { CgroupRecord } from "../state/records.ts";

/** A file's text; undefined when the cgroup, or the file in it, is not there. */
export function readCgroupFile(folder: string, name: string): string | undefined {
  try {
    return readFileSync(join(folder, name), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV", "EOPNOTSUPP", "ENOTDIR", "EINVAL", "EIO")) return undefined;
    throw error;
  }
}

/** Writes a file of a cgroup. Errors: as the kernel says. */
export function writeCgroupFile(folder: string, name: string, value: string): void {
  writeFileSync(join(folder, name), value);
}

/** `key value` lines as a map. */
export function parseFlat(text: string | undefined): ReadonlyMap<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of (text ?? "").split("\n")) {
    const [key = "", value = ""] = line.split(" ");
    if (/^\d+$/.test(value)) values.set(key, BigInt(value));
  }
  return values;
}

/** One number; "max" is 2^64 - 1; 0 when there is none. */
export function parseCount(text: string | undefined): bigint {
  const value = text?.trim() ?? "";
  if (value === "max") return maxCount;
  return /^\d+$/.test(value) ? BigInt(value) : 0n;
}

export const maxCount: bigint = (1n << 64n) - 1n;

/** The folder in which a cgroup's processes are listed. */
export function processFolder(cgroup: CgroupRecord): string | undefined {
  if (cgroup.version === 2) return cgroup.path;
  const { paths } = cgroup;
  return paths["freezer"] ?? paths["pids"] ?? paths["devices"] ?? paths["memory"] ?? paths["systemd"];
}

/** Every process in a cgroup and the cgroups below it; none when it is gone. */
export function cgroupPids(cgroup: CgroupRecord): number[] {
  const folder = processFolder(cgroup);
  return folder === undefined ? [] : [...pidsBelow(folder, 0)];
}

/** How deep cgroups may be nested inside a container's. */
const maxDepth = 32;

function* pidsBelow(folder: string, depth: number): Generator<number, void, undefined> {
  const text = readCgroupFile(folder, "cgroup.procs");
  if (text === undefined || depth > maxDepth) return;
  for (const line of text.split("\n")) if (line !== "") yield Number(line);
  for (const name of subfolders(folder)) yield* pidsBelow(join(folder, name), depth + 1);
}

/** True when a container has made cgroups below its own. */
export function hasNestedCgroups(cgroup: CgroupRecord): boolean {
  const folders = cgroup.version === 2 ? [cgroup.path] : Object.values(cgroup.paths);
  return folders.some((folder) => subfolders(folder).length > 0);
}

/** Removes a cgroup, and those below it, as far as no process is in them; true when all of it is gone. */
export function removeEmptyCgroup(cgroup: CgroupRecord): boolean {
  const folders = cgroup.version === 2 ? [cgroup.path] : Object.values(cgroup.paths);
  return folders.filter((folder) => !removeEmpty(folder, 0)).length === 0;
}

/** Most cgroups have none below them: those are only looked for where the kernel refuses. */
function removeEmpty(folder: string, depth: number): boolean {
  if (removeOne(folder)) return true;
  const below = depth <= maxDepth ? subfolders(folder) : [];
  for (const name of below) removeEmpty(join(folder, name), depth + 1);
  return below.length > 0 && removeOne(folder);
}

function removeOne(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    if (!isErrno(error, "EBUSY", "ENOTEMPTY")) throw error;
    return false;
  }
}

/** A cgroup's folder has a link for each one below it, and two of its own. */
function subfolders(folder: string): string[] {
  try {
    if (statSync(folder).nlink === 2) return [];
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}
