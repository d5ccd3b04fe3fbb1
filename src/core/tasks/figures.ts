import type { FiguresResponse } from "../../gen/lighter/shim/v1/host_pb.ts";
import type { CallTimes } from "./steps.ts";
import type { Task } from "./tasks.ts";

/** What there is to watch about tasks. */
export interface TaskFigures {
  /** Those that are known, of all namespaces. */
  all(): readonly Task[];
  find(namespace: string, id: string): Task | undefined;
  /** Tells how long each call to a shim takes that changes something, from now on, until disposed. */
  watchCalls(watcher: CallTimes): Disposable;
  /** How many wait for the ends of processes. */
  readonly waiting: number;
  /** Locks of tasks that are held, and calls that a host which is silent keeps waiting. */
  readonly locksHeld: number;
  readonly callsHeldBack: number;
  /** What the host that runs tells of itself; undefined when none does, or it is an older one. Errors: the call's. */
  host(timeoutMs: number): Promise<{ readonly pid: number; readonly figures: FiguresResponse } | undefined>;
}
