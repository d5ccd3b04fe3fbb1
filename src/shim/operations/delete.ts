import { rmSync } from "node:fs";
import { join } from "node:path";
import { TaskDeleteSchema } from "../../gen/containerd/events/task_pb.ts";
import { FaultError } from "../../lib/faults.ts";
import { spanned, type Trace } from "../../lib/trace.ts";
import { unmountAll } from "../../sys/index.ts";
import { type HostParts, publish, save, topics } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import { endLogger } from "../stdio/logger-process.ts";
import { untilOutputIsRead } from "../stdio/unread-output.ts";
import { lastOfLife } from "../task/journaled.ts";
import { clearCgroup } from "../task/leftovers.ts";
import { statusOf } from "../task/status.ts";
import { initPidFile, type Task } from "../task/task.ts";
import { dropTerminal } from "./create.ts";
import { removeExecFiles } from "./exec.ts";

/** How long output may take to reach a slow reader before it is cut. Source: containerd's shim, Init.delete. */
const drainTimeoutMs = 10_000;
/** How long a killed init may take to end. */
const exitTimeoutMs = 10_000;

/**
 * Deletes a task that is stopped or was never started, or one exec of it.
 * Errors: notFound, unknown "cannot delete a running process" (or a paused one), or the runtime's message.
 * Effects: everything of it is gone afterwards: the runtime's state, mounts, descriptors, files; event /tasks/delete for a task.
 */
export async function deleteProcess(parts: HostParts, task: Task, execId: string, trace?: Trace): Promise<TaskProcess> {
  const process = task.process(execId);
  if (process !== task.init) await deleteExec(parts, task, process);
  else await deleteTask(parts, task, trace);
  return process;
}

async function deleteExec(parts: HostParts, task: Task, exec: TaskProcess): Promise<void> {
  using _lock = await task.lock.shared();
  // One that is removed while the runtime makes it would run on, and nobody would know of it.
  await exec.begun;
  requireDeletable(task, exec);
  await releaseProcess(parts, exec);
  // Another call has deleted it meanwhile: what goes by its name now is not this one.
  if (task.execs.get(exec.execId) !== exec) return;
  removeExecFiles(task, exec.execId);
  parts.failpoint("exec-delete.released");
  task.execs.delete(exec.execId);
  exec.settleExited();
  save(parts, task);
  parts.failpoint("exec-delete.saved");
}

async function deleteTask(parts: HostParts, task: Task, trace: Trace | undefined): Promise<void> {
  using _lock = await task.lock.exclusive();
  if (parts.tasks.find(task.namespace, task.id) !== task) {
    throw new FaultError("notFound", "cannot delete a deleted process: not found");
  }
  requireDeletable(task, task.init);
  await finishDelete(parts, task, { trace });
}

/** The part of a delete that the next host does when this one dies in it. */
export async function finishDelete(
  parts: HostParts,
  task: Task,
  { isResumed = false, trace }: { readonly isResumed?: boolean; readonly trace?: Trace | undefined } = {},
): Promise<void> {
  const { init } = task;
  task.phase = "deleting";
  save(parts, task);
  parts.failpoint("delete.marked");
  await spanned(trace, "runtime delete", { "container.id": task.id, runtime: task.runtimeRecord.binary }, () =>
    forget(parts, task),
  );
  parts.failpoint("delete.forgotten");
  if (init.status !== "stopped" && init.pid !== 0) await within(exitTimeoutMs, init.exited);
  // Side by side: slow readers of many execs are waited for together.
  await Promise.all(task.processes().map((process) => releaseProcess(parts, process)));
  for (const execId of task.execs.keys()) removeExecFiles(task, execId);
  task.oom?.[Symbol.dispose]();
  parts.failpoint("delete.released");
  // What is written back at its end holds up all that is removed here meanwhile, where both are on one disk.
  using _root = takeRootAway(parts, task);
  parts.failpoint("delete.unmounted");
  // The earlier host may have died between its last two lines.
  if (!isResumed || lastOfLife(parts, task)?.topic !== topics.delete) publishDelete(parts, task);
  parts.failpoint("delete.announced");
  // A bundle that has it is, to a daemon that finds no state of it, one of a task that was lost.
  rmSync(initPidFile(task), { force: true });
  parts.states.remove(task.namespace, task.id);
  parts.failpoint("delete.removed");
  parts.tasks.remove(task);
  init.settleExited();
}

/**
 * Makes the runtime forget a container.
 * Shape: of one that has ended, and whose spec asks for no more, runtimes keep a folder and a cgroup: those go without a
 * process of theirs, which would take longer than all the rest of a delete.
 * Source: runc libcontainer/state_linux.go, destroy; crun src/libcrun/container.c, libcrun_container_delete.
 */
async function forget(parts: HostParts, task: Task): Promise<void> {
  const { init, cgroup, runtimeRecord } = task;
  // Where nobody could tell how init ended it may live, under a number that the state does not say.
  const hasEnded = init.status === "stopped" && init.exitKnown;
  const isPlain = hasEnded && !task.needsRuntimeDelete && task.checkpoint === "" && !runtimeRecord.systemdCgroup;
  const isKnown = isPlain && (await parts.kinds.of(runtimeRecord.binary)) !== "other";
  if (isKnown && cgroup !== undefined && (await clearCgroup(parts, cgroup, task)))
    return rmSync(join(runtimeRecord.root, task.id), { recursive: true, force: true });
  await task.runtime.delete(task.id, { force: !hasEnded });
}

function takeRootAway(parts: HostParts, task: Task): Disposable | undefined {
  const rootfs = join(task.bundle, "rootfs");
  if (task.upper !== undefined) return parts.roots.detach(rootfs, task.upper);
  if (task.hasRootfsMounts) unmountAll(parts.kernel, rootfs);
  return undefined;
}

function publishDelete(parts: HostParts, task: Task): void {
  const { pid, exitStatus, exitedAt } = task.init;
  publish(parts, task, topics.delete, TaskDeleteSchema, {
    containerId: task.id,
    pid,
    exitStatus,
    ...(exitedAt === undefined ? {} : { exitedAt: exitedAt.toTimestamp() }),
  });
}

function requireDeletable(task: Task, process: TaskProcess): void {
  const status = statusOf(task, process);
  if (status === "created" || status === "stopped") return;
  throw new FaultError("unknown", `cannot delete a ${status === "running" ? "running" : "paused"} process`);
}

async function releaseProcess(parts: HostParts, process: TaskProcess): Promise<void> {
  const { terminal, logger } = process;
  if (process.status === "stopped") {
    const isOut = terminal === undefined || (await within(drainTimeoutMs, terminal.drained));
    if (isOut) await untilOutputIsRead(parts.kernel, process.stdio);
  }
  dropTerminal(process);
  process.release();
  if (logger !== undefined) await endLogger(parts, logger);
}

/** Waits for a promise, but no longer than that; true when it settled. */
async function within(timeoutMs: number, promise: Promise<void>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), timeoutMs);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
