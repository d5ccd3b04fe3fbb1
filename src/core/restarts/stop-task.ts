import type { Ctx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import type { TaskManager } from "../tasks/index.ts";
import type { SeenTask } from "./seen-task.ts";

const sigkill = 9;

/**
 * Ends a task that shall be stopped, and deletes one that has ended; its end is not waited for here: it is heard.
 * Errors: what the shim says. Source: containerd plugins/restart/change.go, killTask.
 */
export async function stopTask(
  tasks: Pick<TaskManager, "delete" | "get">,
  ctx: Ctx,
  id: string,
  { kind }: SeenTask,
): Promise<void> {
  try {
    if (kind === "stopped" || kind === "created") {
      await tasks.delete(ctx, id);
      return;
    }
    const task = await tasks.get(ctx, id);
    await task.kill("", { signal: sigkill, all: true });
    // Where the freezer holds a signal back, it comes with the thaw.
    if (kind === "paused") await task.resume().catch(() => undefined);
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}
