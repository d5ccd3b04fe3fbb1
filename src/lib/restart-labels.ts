import { invalidArgument, quote } from "./faults.ts";
import type { LabelRecord } from "./labels.ts";

/** Labels by which a container is kept running. Source: containerd core/runtime/restart/restart.go; the last is lighter's own. */
export const restartLabels = {
  /** What is wanted: `running` or `stopped`. Without it the monitor does nothing. */
  status: "containerd.io/restart.status",
  policy: "containerd.io/restart.policy",
  /** How often it was restarted. */
  count: "containerd.io/restart.count",
  /** Where the output of a restarted task goes. */
  logUri: "containerd.io/restart.loguri",
  explicitlyStopped: "containerd.io/restart.explicitly-stopped",
  /** What the monitor has decided and not done yet, or how it ended; see RestartRecord. */
  record: "lighter/restart",
} as const;

export const restartPolicyNames = ["no", "always", "on-failure", "unless-stopped"] as const;

export interface RestartPolicy {
  readonly name: (typeof restartPolicyNames)[number];
  /** Of on-failure; 0 for without end. */
  readonly maxRetries: number;
}

/** Go's int, as strconv.Atoi reads it. */
const wholeNumber = /^[+-]?\d+$/;
const goIntMax = 2 ** 63;

/**
 * Reads a policy: `no`, `always`, `unless-stopped`, `on-failure[:N]`; an empty one is `always`.
 * Errors: invalidArgument. Source: containerd core/runtime/restart/restart.go, NewPolicy.
 */
export function parseRestartPolicy(text: string): RestartPolicy {
  const [word = "", retries] = text.split(":");
  const name = restartPolicyNames.find((one) => one === (word === "" ? "always" : word));
  if (name === undefined) throw invalidArgument(`restart policy ${quote(shown(text))} not supported`);
  if (retries === undefined) return { name, maxRetries: 0 };
  if (name !== "on-failure") throw invalidArgument(`restart policy ${quote(word)} not support max retry count`);
  const maxRetries = Number(retries);
  if (!wholeNumber.test(retries) || Math.abs(maxRetries) >= goIntMax) {
    throw invalidArgument(`invalid max retry count: ${shown(retries)}`);
  }
  return { name, maxRetries };
}

/** A policy as its label has it. */
export function formatRestartPolicy({ name, maxRetries }: RestartPolicy): string {
  return maxRetries > 0 ? `${name}:${maxRetries}` : name;
}

/** How often a container was restarted; undefined when its label is no number that can be counted on. */
export function restartCountOf(labels: LabelRecord): number | undefined {
  const text = labels[restartLabels.count];
  if (text === undefined) return 0;
  const count = Number(text);
  return wholeNumber.test(text) && Number.isSafeInteger(count) ? Math.max(0, count) : undefined;
}

/** Whether somebody stopped it on purpose. Source: strconv.ParseBool. */
export function isExplicitlyStopped(labels: LabelRecord): boolean {
  return ["1", "t", "T", "TRUE", "true", "True"].includes(labels[restartLabels.explicitlyStopped] ?? "");
}

/**
 * A restart that is decided and paid for: the count label says `count` already, and whoever finds this does the restart without
 * counting again.
 */
export interface WaitingRestart {
  readonly state: "waiting";
  readonly count: number;
  /** How long it waits from the moment in which a daemon comes to know of it. */
  readonly waitMs: number;
  readonly reason: string;
  /** The end that it answers to, so that a later one is told from it; undefined when no task was left to tell. */
  readonly task: string | undefined;
  /** How that one had ended, where that is known. */
  readonly exitStatus: number | undefined;
}

/** The last end of a container whose policy depends on it, and wants no restart. */
export interface EndedRestart {
  readonly state: "ended";
  readonly exitStatus: number;
}

export type RestartRecord = WaitingRestart | EndedRestart;

/** More of a reason than this helps nobody, and a label has 4096 bytes. */
const reasonMax = 500;
const waitMax = 60_000;
const taskMax = 64;

/** Reads the record. Shape: a label is anybody's to write: what can't be is taken for no record, and waits are bounded. */
export function restartRecordOf(labels: LabelRecord): RestartRecord | undefined {
  const given = objectIn(labels[restartLabels.record]);
  if (given === undefined) return undefined;
  const exitStatus = wholeFrom(given["exitStatus"], 2 ** 32 - 1);
  if (given["state"] === "ended") return exitStatus === undefined ? undefined : { state: "ended", exitStatus };
  const count = wholeFrom(given["count"], Number.MAX_SAFE_INTEGER);
  const { task, reason } = given;
  if (given["state"] !== "waiting" || count === undefined) return undefined;
  return {
    state: "waiting",
    count,
    waitMs: wholeFrom(given["waitMs"], waitMax) ?? waitMax,
    reason: typeof reason === "string" ? cut(reason) : "",
    task: typeof task === "string" && task.length <= taskMax ? task : undefined,
    exitStatus,
  };
}

/** The record as its label has it. */
export function formatRestartRecord(record: RestartRecord): string {
  return JSON.stringify(record.state === "waiting" ? { ...record, reason: cut(record.reason) } : record);
}

function objectIn(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    // Not ours: as good as none.
    return undefined;
  }
}

function wholeFrom(value: unknown, max: number): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max ? value : undefined;
}

function cut(text: string): string {
  return text.length <= reasonMax ? text : `${text.slice(0, reasonMax - 1)}…`;
}

/** A label's value in a message: it may be as long as labels may be. */
function shown(text: string): string {
  return text.length <= 64 ? text : `${text.slice(0, 63)}…`;
}
