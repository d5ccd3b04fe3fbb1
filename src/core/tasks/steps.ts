import type { Failpoint } from "../../lib/failpoints.ts";

/** Calls to a shim that change something, in the order of a task's life. */
const shimCalls = [
  "create",
  "start",
  "exec",
  "exec-start",
  "exec-delete",
  "pause",
  "resume",
  "update",
  "checkpoint",
  "kill",
  "delete",
] as const;

export type ShimCall = (typeof shimCalls)[number];

/** Steps of the daemon's own, between its calls. */
const ownSteps = [
  "daemon.create.bundled",
  "daemon.checkpoint.stored",
  "daemon.event.passed",
  "daemon.delete.hidden",
] as const;

/** The steps of the task manager after which the daemon may die. */
export type DaemonStep = (typeof ownSteps)[number] | `daemon.${ShimCall}.${"sent" | "answered"}`;

/** All of them. */
export const daemonSteps: readonly DaemonStep[] = [
  ...ownSteps,
  ...shimCalls.flatMap((call): DaemonStep[] => [`daemon.${call}.sent`, `daemon.${call}.answered`]),
];

export type DaemonFailpoint = Failpoint<DaemonStep>;

/** Hears how long a call to a shim took, in milliseconds, whether it failed or not. */
export type CallTimes = (call: ShimCall, ms: number) => void;

/** Waits for a shim's answer. A test may have the daemon die once the question is on its way, or before anybody hears the answer. */
export async function answered<T>(
  { failpoint, timed }: { readonly failpoint: DaemonFailpoint; readonly timed?: CallTimes | undefined },
  call: ShimCall,
  answer: Promise<T>,
): Promise<T> {
  failpoint(`daemon.${call}.sent`);
  const began = performance.now();
  try {
    const value = await answer;
    failpoint(`daemon.${call}.answered`);
    return value;
  } finally {
    timed?.(call, performance.now() - began);
  }
}
