import { SQLiteError } from "bun:sqlite";
import { FaultError, type FaultKind, messageOf, quote } from "../../lib/faults.ts";

interface Cause {
  readonly kind: FaultKind;
  readonly advice: string;
}

const damaged: Cause = {
  kind: "dataLoss",
  advice: "the file is damaged: stop the daemon, keep a copy of it, and restore it from a backup or move it away",
};

/** What each of SQLite's primary result codes means to a caller, and what a person can do. Source: sqlite.org/rescode.html. */
const causes: ReadonlyMap<number, Cause> = new Map([
  [3, { kind: "permissionDenied", advice: "check the owner and the mode of the file and of its folder" }],
  [5, { kind: "unavailable", advice: "another process holds it: is a second daemon running on the same root?" }],
  [6, { kind: "unavailable", advice: "another process holds it: is a second daemon running on the same root?" }],
  [8, { kind: "unavailable", advice: "the file or its disk is read-only: make it writable" }],
  [10, { kind: "unavailable", advice: "the disk failed: check the kernel log" }],
  [11, damaged],
  [13, { kind: "resourceExhausted", advice: "make room on the disk and try again; nothing was lost" }],
  [14, { kind: "unavailable", advice: "check that its folder exists and can be written" }],
  [26, damaged],
]);

/** True for an error that says something of the file or the disk, rather than of the statement. */
export function isStorageError(error: unknown): boolean {
  return error instanceof SQLiteError && causes.has(primaryCode(error));
}

/** Whether a fault of storageFault's says that another process has the file. Source: SQLITE_BUSY, SQLITE_LOCKED. */
export function isHeldByOther(error: unknown): boolean {
  const cause = error instanceof FaultError ? error.cause : undefined;
  return cause instanceof SQLiteError && [5, 6].includes(primaryCode(cause));
}

/** SQLite's error as a fault that names the file and says what to do; any other error as it came. */
export function storageFault(path: string, doing: string, error: unknown): unknown {
  if (!(error instanceof SQLiteError)) return error;
  const cause = causes.get(primaryCode(error));
  if (cause === undefined) return error;
  return new FaultError(
    cause.kind,
    `${doing} metadata database ${quote(path)}: ${messageOf(error)} (${error.code ?? "SQLITE"}); ${cause.advice}`,
    { cause: error },
  );
}

function primaryCode(error: SQLiteError): number {
  return error.errno & 0xff;
}
