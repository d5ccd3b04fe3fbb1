import type { Failpoint } from "../../lib/failpoints.ts";

/** The steps of a restart after which the daemon may die, in order. */
export const restartSteps = [
  "restart.planned",
  "restart.deleted",
  "restart.created",
  "restart.started",
  "restart.settled",
] as const;

export type RestartFailpoint = Failpoint<(typeof restartSteps)[number]>;
