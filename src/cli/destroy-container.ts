import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { deleteTask, getTask, removeContainer, waitProcess } from "../client/containers/tasks.ts";
import { fifoFolder } from "../client/paths.ts";
import type { Container } from "../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Process } from "../gen/containerd/v1/types/task_pb.ts";
import { isFault } from "../lib/faults.ts";
import type { CommandContext } from "./command.ts";
import { logOf, removeLog } from "./container-log.ts";
import { isSupervised, letGo, restartViewOf } from "./restart-options.ts";
import { CommandError } from "./usage-error.ts";

const restartsMax = 3;
const [created, running, stopped, paused] = [1, 2, 3, 4];

/**
 * Removes a container with its task, snapshot, log and FIFOs.
 * Errors: CommandError when it runs and `force` is not given.
 */
export async function destroyContainer(context: CommandContext, container: Container, force: boolean): Promise<void> {
  const { client } = context;
  let task = await getTask(client, container.id);
  if (!force) requireEnded(container, task);
  const supervised = isSupervised(container.labels);
  if (supervised) {
    await letGo(client, container.id);
    // A restart may have put one in place until then; what it does from now on it undoes itself.
    if (force) task = await getTask(client, container.id);
  }
  if (task !== undefined) await endTask(context, container.id, task, supervised ? restartsMax : 0);
  await removeContainer(client, container);
  removeLog(logOf(context, container));
}

/**
 * With `restarts`, a restart that was under way may put another task in its place, or start one that was only made, so often at
 * most: that one is ended as well.
 */
async function endTask(context: CommandContext, id: string, task: Process, restarts: number): Promise<void> {
  const { client } = context;
  if (task.status !== stopped) await killTask(context, id, task);
  try {
    await deleteTask(client, id);
  } catch (error) {
    const next = restarts === 0 ? undefined : await getTask(client, id);
    if (next === undefined || (next.pid === task.pid && next.status === task.status)) throw error;
    await endTask(context, id, next, restarts - 1);
  }
  forgetFifos(context, task);
}

/** Errors: CommandError when it runs, or is about to. */
function requireEnded(container: Container, task: Process | undefined): void {
  const isActive = task !== undefined && task.status !== stopped && task.status !== created;
  const isWaiting = restartViewOf(container.labels)?.waiting !== undefined;
  if (!isActive && !isWaiting) return;
  const state = !isActive ? "is being restarted" : task.status === paused ? "is paused" : "runs";
  throw new CommandError(`container "${container.id}" ${state}`, {
    hint: `stop it first, or remove it with lighter rm -f ${container.id}`,
  });
}

async function killTask(context: CommandContext, id: string, task: Process): Promise<void> {
  const { client } = context;
  const exit = waitProcess(client, id);
  // A task that was never started has no end to wait for; deleting it is enough.
  exit.catch(() => {});
  try {
    if (task.status === paused)
      await client.tasks.kill({ containerId: id, signal: 9 }).then(() => client.tasks.resume({ containerId: id }));
    else await client.tasks.kill({ containerId: id, signal: 9, all: false });
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
  if (task.status === running || task.status === paused) await exit;
}

/** FIFOs in a folder of ours go with their task; those of other clients are theirs. */
function forgetFifos(context: CommandContext, task: Process): void {
  if (dirname(dirname(task.stdout)) === fifoFolder(context.env))
    rmSync(dirname(task.stdout), { recursive: true, force: true });
}
