import { FaultError } from "../../lib/faults.ts";
import type { RestoreNotes } from "../criu/restore-notes.ts";

/** The version of the shapes below. A host refuses a file of a later one and leaves it alone. */
export const recordSchema = 1;

export type ProcessStatus = "creating" | "created" | "running" | "stopped";

export interface StdioRecord {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** A process by number and start time, which together are never used twice. */
export interface PidRecord {
  readonly pid: number;
  readonly startTime: number;
}

export interface ProcessRecord {
  /** Empty for init. */
  readonly execId: string;
  readonly status: ProcessStatus;
  readonly pid: number;
  /** In clock ticks since boot; 0 with pid 0. Source: proc_pid_stat(5), field 22. */
  readonly startTime: number;
  readonly stdio: StdioRecord;
  readonly exitStatus: number;
  /** False when the kernel could not tell the exit status, which is then 255. */
  readonly exitKnown: boolean;
  /** ISO 8601; empty before the exit. */
  readonly exitedAt: string;
  readonly stdinClosed: boolean;
  /** The `binary://` logger, when there is one. */
  readonly logger?: PidRecord | undefined;
}

export interface RuntimeRecord {
  readonly binary: string;
  readonly root: string;
  readonly systemdCgroup: boolean;
  readonly noPivotRoot: boolean;
  readonly noNewKeyring: boolean;
  readonly ioUid: number;
  readonly ioGid: number;
  readonly criuWorkPath: string;
}

export type CgroupRecord =
  | { readonly version: 1; readonly paths: Readonly<Record<string, string>> }
  | { readonly version: 2; readonly path: string };

/** A checkpoint that is being made: what a next host needs to bring it to its end. */
export interface DumpRecord {
  /** The folder of CRIU's images. */
  readonly image: string;
  /** CRIU's folder for its log; the runtime's configuration for it lies in the bundle. */
  readonly work: string;
  /** Whether the folder goes with the checkpoint. */
  readonly ownsWork: boolean;
  /** Whether the task ends with it. */
  readonly exit: boolean;
  /** Whether the task ran before it, and did not stand still. */
  readonly ran: boolean;
  /** ISO 8601. */
  readonly begunAt: string;
  readonly notes: RestoreNotes;
  /** The task has ended with it; who asked for it, and whose host died before its answer, may ask again. */
  readonly isDone?: boolean | undefined;
}

export interface TaskRecord {
  readonly schema: number;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  /** `creating` and `deleting` are finished, or undone, by the next host. */
  readonly phase: "creating" | "ready" | "deleting";
  readonly runtime: RuntimeRecord;
  readonly hasRootfsMounts: boolean;
  readonly hasPrivatePids: boolean;
  readonly hasPoststartHooks: boolean;
  /** Not said by earlier versions: then it does. */
  readonly needsRuntimeDelete?: boolean | undefined;
  readonly cgroup: CgroupRecord | undefined;
  /** Where a restored task comes from; empty for one that starts afresh. */
  readonly checkpoint: string;
  readonly parentCheckpoint: string;
  readonly init: ProcessRecord;
  readonly execs: readonly ProcessRecord[];
  readonly dump?: DumpRecord | undefined;
}

/** Checks what was read from disk. Errors: dataLoss, saying what is wrong with it. */
export function parseTaskRecord(value: unknown): TaskRecord {
  const record = object(value, "record");
  if (record["schema"] !== recordSchema) throw broken(`schema ${String(record["schema"])} is not ${recordSchema}`);
  for (const name of ["namespace", "id", "bundle"]) {
    if (text(record, name) === "") throw broken(`${name} is empty`);
  }
  if (!["creating", "ready", "deleting"].includes(text(record, "phase")))
    throw broken("phase is none of the known ones");
  const runtime = object(record["runtime"], "runtime");
  for (const name of ["binary", "root", "criuWorkPath"]) text(runtime, name);
  for (const name of ["ioUid", "ioGid"]) number(runtime, name);
  for (const name of ["checkpoint", "parentCheckpoint"]) text(record, name);
  checkProcess(record["init"]);
  if (!Array.isArray(record["execs"])) throw broken("execs is no list");
  for (const one of record["execs"]) checkProcess(one);
  if (record["dump"] !== undefined) checkDump(record["dump"]);
  return value as TaskRecord;
}

function checkDump(value: unknown): void {
  const record = object(value, "dump");
  for (const name of ["image", "work", "begunAt"]) text(record, name);
  object(record["notes"], "notes");
}

function checkProcess(value: unknown): void {
  const record = object(value, "process");
  text(record, "execId");
  if (!["creating", "created", "running", "stopped"].includes(text(record, "status")))
    throw broken("status is unknown");
  for (const name of ["pid", "startTime", "exitStatus"]) number(record, name);
  text(record, "exitedAt");
  const stdio = object(record["stdio"], "stdio");
  for (const name of ["stdin", "stdout", "stderr"]) text(stdio, name);
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw broken(`${name} is no object`);
  return value as Record<string, unknown>;
}

function text(record: Record<string, unknown>, name: string): string {
  const value = record[name];
  if (typeof value !== "string") throw broken(`${name} is no text`);
  return value;
}

function number(record: Record<string, unknown>, name: string): number {
  const value = record[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw broken(`${name} is no count`);
  return value;
}

const broken = (what: string): FaultError => new FaultError("dataLoss", `task state: ${what}`);
