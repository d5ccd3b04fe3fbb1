import { type HealthCheck, type HealthStatus, healthStatuses } from "../../lib/health-labels.ts";

/** One check as it went. Shape: milliseconds since the epoch. */
export interface ProbeResult {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly exitCode: number;
  readonly output: string;
}

/** What is known of a task's health. */
export interface HealthState {
  /** Of the task: another one begins anew. */
  readonly pid: number;
  readonly status: HealthStatus;
  readonly failingStreak: number;
  /** When the task began, in milliseconds since the epoch. */
  readonly startedMs: number;
  /** The first success ends the start period. */
  readonly wasHealthy: boolean;
  /** The oldest first. */
  readonly probes: readonly ProbeResult[];
}

const probesKept = 5;
/** Source: moby daemon/health.go, maxOutputLen. */
export const outputMaxBytes = 4096;

/** Of a task that begins. */
export function newHealthState(pid: number, startedMs: number): HealthState {
  return { pid, status: "starting", failingStreak: 0, startedMs, wasHealthy: false, probes: [] };
}

/** Whether failures count for nothing yet. Shape: a clock that was set back makes the period begin anew, and no longer. */
export function inStartPeriod({ startedMs, wasHealthy }: HealthState, check: HealthCheck, nowMs: number): boolean {
  return !wasHealthy && nowMs < startedMs + check.startPeriodMs;
}

/** How long to wait from one check, or the start, to the next. Source: moby daemon/health.go, monitor. */
export function nextProbeMs(state: HealthState, check: HealthCheck, nowMs: number): number {
  return inStartPeriod(state, check, nowMs) ? check.startIntervalMs : check.intervalMs;
}

/** The state after a check. Source: moby daemon/health.go, handleProbeResult. */
export function afterProbe(state: HealthState, check: HealthCheck, result: ProbeResult): HealthState {
  const probes = [...state.probes, result].slice(-probesKept);
  if (result.exitCode === 0) return { ...state, status: "healthy", failingStreak: 0, wasHealthy: true, probes };
  if (inStartPeriod(state, check, result.startedMs)) return { ...state, probes };
  const failingStreak = state.failingStreak + 1;
  return { ...state, failingStreak, status: failingStreak >= check.retries ? "unhealthy" : state.status, probes };
}

/** A state as its file has it. */
export function formatHealthState(state: HealthState): string {
  return JSON.stringify({ version: 1, ...state });
}

/** Reads it back; undefined for what is none. */
export function parseHealthState(text: string): HealthState | undefined {
  const given = objectIn(text);
  if (given === undefined) return undefined;
  const status = healthStatuses.find((one) => one === given["status"]);
  const { version, pid, failingStreak, startedMs, wasHealthy, probes } = given;
  if (version !== 1 || status === undefined || typeof pid !== "number" || typeof failingStreak !== "number")
    return undefined;
  if (typeof startedMs !== "number" || typeof wasHealthy !== "boolean" || !Array.isArray(probes)) return undefined;
  return { pid, status, failingStreak, startedMs, wasHealthy, probes: probes as ProbeResult[] };
}

function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    // Not ours, or not whole: it begins anew.
    return undefined;
  }
}
