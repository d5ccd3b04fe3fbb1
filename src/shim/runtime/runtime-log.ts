import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";

/** How much of a log's end is looked at. */
const tailBytes = 64 << 10;

/** How long the log is now, to tell later what a command added. */
export function logSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * The message of the last error line that was added to a runtime's JSON log; undefined when there is none.
 * Shape: JSON objects with `level` and `msg`, each at the start of a line, as runc and crun write with --log-format json;
 * newer ones of crun spread one over several lines.
 */
export function lastError(path: string, from: number): string | undefined {
  let message: string | undefined;
  for (const entryText of tail(path, from).split(/\n(?=\{)/)) {
    const entry = parseEntry(entryText);
    if (entry?.level === "error" && typeof entry.msg === "string") message = entry.msg.trim();
  }
  return message === "" ? undefined : message;
}

/** The last bytes of a file as text; empty when it can't be read, since it only adds to a message. */
export function tail(path: string, from = 0, limit: number = tailBytes): string {
  try {
    const fd = openSync(path, "r");
    try {
      const size = fstatSync(fd).size;
      const start = Math.max(from, size - limit);
      const buffer = Buffer.alloc(Math.max(0, size - start));
      return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, start)).toString();
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES", "ENOTDIR")) return "";
    throw error;
  }
}

function parseEntry(line: string): { level?: unknown; msg?: unknown } | undefined {
  if (line === "") return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    // A line of a runtime that was killed while it wrote, or of one that does not write JSON.
    return undefined;
  }
}
