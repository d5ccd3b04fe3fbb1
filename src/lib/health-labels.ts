import { invalidArgument, messageOf } from "./faults.ts";
import type { LabelRecord } from "./labels.ts";

/** Labels that say how a container's health is checked, and how it is. Source: nerdctl pkg/labels/labels.go. */
export const healthLabels = {
  /** The check, as docker's images write it; of containers that lighter made. */
  check: "lighter/healthcheck",
  /** The same, of containers that nerdctl made. */
  nerdctlCheck: "nerdctl/healthcheck",
  /** How it is: both read it, and the daemon writes it. */
  state: "nerdctl/healthstate",
  /** `kill`: an unhealthy container is killed, so that its restart policy starts it again. */
  onFailure: "lighter/health-on-failure",
} as const;

/** The process that a check runs as: one of this name is the daemon's own, whoever started it. */
export const probeExecId = "lighter-health";

export const healthStatuses = ["starting", "healthy", "unhealthy"] as const;
export type HealthStatus = (typeof healthStatuses)[number];

/** A check as docker's images and nerdctl's labels write it; times in nanoseconds. Source: moby api/types/container/config.go. */
export interface HealthDocument {
  Test?: string[];
  Interval?: number;
  Timeout?: number;
  StartPeriod?: number;
  StartInterval?: number;
  Retries?: number;
}

export interface HealthCheck {
  readonly args: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** For so long after its start, failures count for nothing, until the first success. */
  readonly startPeriodMs: number;
  /** Between two checks during the start period. */
  readonly startIntervalMs: number;
  /** So many failures in a row make it unhealthy. */
  readonly retries: number;
}

/** What is left out or 0. Source: moby daemon/health.go. */
const defaults = { intervalMs: 30_000, timeoutMs: 30_000, startIntervalMs: 5000, retries: 3 };
/** Checks follow one another no faster than this. */
const leastMs = 50;
const nanosPerMs = 1e6;

/**
 * Reads a check; undefined when it says that there is none.
 * Errors: invalidArgument. Shape: `Test` is NONE, CMD and words, CMD-SHELL and a line for /bin/sh, or, as nerdctl takes it, words alone.
 */
export function parseHealthCheck(text: string): HealthCheck | undefined {
  const document = documentIn(text);
  const args = argsOf(document.Test ?? []);
  if (args === undefined) return undefined;
  const span = (nanos: number | undefined, fallback: number, least: number): number =>
    nanos === undefined || nanos <= 0 ? fallback : Math.max(nanos / nanosPerMs, least);
  return {
    args,
    intervalMs: span(document.Interval, defaults.intervalMs, leastMs),
    timeoutMs: span(document.Timeout, defaults.timeoutMs, 1),
    startPeriodMs: span(document.StartPeriod, 0, 0),
    startIntervalMs: span(document.StartInterval, defaults.startIntervalMs, leastMs),
    retries: document.Retries === undefined || document.Retries <= 0 ? defaults.retries : document.Retries,
  };
}

function documentIn(text: string): HealthDocument {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalidArgument(`health check: ${messageOf(error)}`);
  }
  if (typeof parsed !== "object" || parsed === null) throw invalidArgument("health check: not an object");
  const given = parsed as Record<string, unknown>;
  const test = given["Test"];
  if (test !== undefined && test !== null && !(Array.isArray(test) && test.every((word) => typeof word === "string"))) {
    throw invalidArgument("health check: Test is no list of strings");
  }
  for (const key of ["Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"]) {
    const value = given[key];
    if (value !== undefined && (typeof value !== "number" || !Number.isFinite(value))) {
      throw invalidArgument(`health check: ${key} is no number`);
    }
  }
  return { ...(given as HealthDocument), Test: (test ?? []) as string[] };
}

function argsOf([kind = "", ...words]: readonly string[]): readonly string[] | undefined {
  switch (kind) {
    case "":
    case "NONE":
      return undefined;
    case "CMD":
      if (words[0] === undefined || words[0] === "") throw invalidArgument("health check: CMD has no command");
      return words;
    case "CMD-SHELL":
      if (words.join(" ").trim() === "") throw invalidArgument("health check: CMD-SHELL has no command");
      return ["/bin/sh", "-c", words.join(" ")];
    default:
      return [kind, ...words];
  }
}

/** What a container's label says of its health. */
export interface HealthView {
  readonly status: HealthStatus;
  readonly failingStreak: number;
}

/** Reads the label; undefined where there is none, or none that makes sense. */
export function healthViewOf(labels: LabelRecord): HealthView | undefined {
  const text = labels[healthLabels.state];
  if (text === undefined) return undefined;
  try {
    const given = JSON.parse(text) as { Status?: unknown; FailingStreak?: unknown };
    const status = healthStatuses.find((one) => one === given.Status);
    const streak = given.FailingStreak;
    return status && { status, failingStreak: typeof streak === "number" && streak >= 0 ? Math.floor(streak) : 0 };
  } catch {
    // Anybody's to write.
    return undefined;
  }
}

/** The label's value. Source: nerdctl pkg/healthcheck/health.go, HealthState. */
export function formatHealthView({ status, failingStreak }: HealthView, inStartPeriod: boolean): string {
  return JSON.stringify({ Status: status, FailingStreak: failingStreak, InStartPeriod: inStartPeriod });
}
