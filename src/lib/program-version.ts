import { type BigIntStats, statSync } from "node:fs";
import { isAbsolute } from "node:path";

/** What tells a file's content from any other that was ever at its path; undefined when there is none. */
export function fileVersion(stat: BigIntStats | undefined): string | undefined {
  if (stat === undefined) return undefined;
  return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(":");
}

/**
 * Where a program is that is named as commands are; undefined when there is none.
 * Shape: a relative path means another file in each folder, so that it has no place either.
 */
export function programPath(binary: string): string | undefined {
  if (binary.includes("/")) return isAbsolute(binary) ? binary : undefined;
  return Bun.which(binary) ?? undefined;
}

/** The version of a program's file, for whoever remembers something of the program; undefined as programPath's. */
export function programVersion(binary: string): string | undefined {
  const path = programPath(binary);
  return path === undefined ? undefined : fileVersion(statSync(path, { bigint: true, throwIfNoEntry: false }));
}
