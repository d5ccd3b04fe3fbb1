import { setTimeout as sleep } from "node:timers/promises";
import { readStat } from "../process/process-handle.ts";
import type { Task } from "./task.ts";

/**
 * A runtime's init is let go some microseconds before it becomes the container's program; on a machine that is overloaded
 * a second may pass. What has not by then is a program that the runtime runs in itself, as crun's handlers do.
 */
const boundMs = 5_000;
const lookEveryMs = 1;

/**
 * Waits until a started task's init is the container's own program: what stands still, or is written to a checkpoint,
 * before that is the runtime's. `runc start` hides it by taking its time to end.
 * Shape: every runtime forks its init and has it exec the program, so that the kernel's mark of a process that never did
 * tells them apart; one that CRIU restored never will. Effects: ends at the latest some seconds after the start, and at
 * once from then on; a task that ends meanwhile, or never started, is not waited for.
 */
export async function ownProgram(task: Pick<Task, "init" | "checkpoint" | "begunAtMs">): Promise<void> {
  const { init, checkpoint, begunAtMs } = task;
  if (checkpoint !== "") return;
  while (init.status === "running" && performance.now() < begunAtMs + boundMs) {
    const stat = readStat(init.pid);
    if (stat?.startTime !== init.startTime || !stat.isForkOnly) return;
    await sleep(lookEveryMs);
  }
}
