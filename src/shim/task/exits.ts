import { TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import type { Instant } from "../../lib/instant.ts";
import { isErrno } from "../../sys/index.ts";
import { cgroupPids } from "../cgroup/cgroup-files.ts";
import { freezerState, thaw } from "../cgroup/freezer.ts";
import { type HostParts, publish, save, topics } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import type { ProcessExit } from "../process/process-handle.ts";
import type { Task } from "./task.ts";

const sigkill = 9;

/** Waits for a process's end and then publishes it. To be called once its start has been published. */
export function watchExit(parts: HostParts, task: Task, process: TaskProcess): void {
  process.handle?.onExit((exit) => {
    if (process === task.init) initExited(parts, task, exit);
    else publishExit(parts, task, process, exit);
  });
}

/** Publishes the exit of a process that ended while no host looked; one that the journal has already is only recorded. */
export function recordExit(
  parts: HostParts,
  task: Task,
  process: TaskProcess,
  journaled: { readonly status: number; readonly at: Instant } | undefined,
): void {
  if (journaled !== undefined) {
    process.setExit({ ...journaled, known: true });
    process.settleExited();
    return;
  }
  const exit = { status: 255, known: false, at: parts.now() };
  if (process === task.init) initExited(parts, task, exit);
  else publishExit(parts, task, process, exit);
}

/** Ends a task that never came to be restored, as SIGKILL ends one that was never started. */
export function endUnrestored(parts: HostParts, task: Task): void {
  initExited(parts, task, { status: 128 + sigkill, known: true, at: parts.now() });
}

/**
 * Init's exit is the last of a task: whatever else runs is ended first, and its exits are published first.
 * Source: containerd cmd/containerd-shim-runc-v2/task/service.go, handleInitExit.
 */
function initExited(parts: HostParts, task: Task, exit: ProcessExit): void {
  task.initExit = exit;
  if (!task.hasPrivatePids) killCgroup(parts, task);
  thawForOthers(parts, task);
  publishInitExitIfLast(parts, task);
}

/** What was killed in a frozen cgroup ends when that goes on. An end is told whatever comes of it. */
function thawForOthers({ log }: HostParts, { id, cgroup }: Task): void {
  try {
    if (cgroup !== undefined && freezerState(cgroup) === "frozen") thaw(cgroup);
  } catch (error) {
    log.warn("could not thaw a stopped task", { id, error });
  }
}

/** Publishes init's exit once no exec runs any more. */
export function publishInitExitIfLast(parts: HostParts, task: Task): void {
  if (task.initExit === undefined || task.init.status === "stopped" || task.hasRunningExecs()) return;
  publishExit(parts, task, task.init, task.initExit);
}

function publishExit(parts: HostParts, task: Task, process: TaskProcess, exit: ProcessExit): void {
  task.oom?.check();
  process.setExit(exit);
  if (!exit.known) {
    parts.log.warn("the exit status of a process is not known; it is reported as 255", {
      namespace: task.namespace,
      id: task.id,
      exec: process.execId,
      pid: process.pid,
    });
  }
  process.terminal?.finish();
  parts.logs.finish(process.stdio.stdout);
  // The journal comes first: a host that dies between the two finds the exit there and does not publish it twice.
  publish(parts, task, topics.exit, TaskExitSchema, {
    containerId: task.id,
    id: process.execId === "" ? task.id : process.execId,
    pid: process.pid,
    exitStatus: exit.status,
    exitedAt: exit.at.toTimestamp(),
  });
  parts.failpoint("exit.announced");
  save(parts, task);
  parts.failpoint("exit.saved");
  process.release();
  process.settleExited();
  if (process !== task.init) publishInitExitIfLast(parts, task);
}

/** Ends what a container without a pid namespace of its own leaves behind when its init ends. */
function killCgroup(parts: HostParts, task: Task): void {
  if (task.cgroup === undefined) return;
  for (const pid of cgroupPids(task.cgroup)) {
    try {
      parts.kernel.kill(pid, sigkill);
    } catch (error) {
      if (!isErrno(error, "ESRCH"))
        parts.log.warn("could not end a process of a stopped task", { id: task.id, pid, error });
    }
  }
}
