import { FaultError, messageOf } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import { cgroupPids } from "../cgroup/cgroup-files.ts";
import { freezerState, thaw } from "../cgroup/freezer.ts";
import type { HostParts } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import { alreadyFinished } from "../process/process-handle.ts";
import { endUnrestored } from "../task/exits.ts";
import type { Task } from "../task/task.ts";

const sigkill = 9;

/**
 * Signals init, an exec, or every process of the container.
 * Shape: never waits for another operation of the task; a signal goes to exactly the process that is meant.
 * Errors: notFound (no such exec; the process has ended), failedPrecondition (an exec that was not started), unknown (no such signal).
 */
export function killProcess(parts: HostParts, task: Task, execId: string, signal: number, all: boolean): void {
  const process = task.process(execId);
  if (process !== task.init) return killExec(process, signal);
  if (all) killEverything(parts, task, signal);
  else killInit(parts, task, signal);
  // A frozen process of cgroup v1 gets even SIGKILL only once it is thawed. Source: runc libcontainer/container_linux.go, signal.
  if (signal === sigkill && task.cgroup?.version === 1 && freezerState(task.cgroup) === "frozen") thaw(task.cgroup);
}

function killExec(exec: TaskProcess, signal: number): void {
  if (exec.status === "stopped") throw alreadyFinished();
  if (exec.handle === undefined) {
    throw new FaultError("failedPrecondition", "process not created: failed precondition");
  }
  send(() => exec.handle?.signal(signal), "exec kill error: ");
}

function killInit(parts: HostParts, task: Task, signal: number): void {
  const { init } = task;
  // A checkpoint that waits to be restored has no process yet, but those who wait for its end do not know that.
  if (signal === sigkill && init.status === "created" && init.handle === undefined && !init.starting) {
    return endUnrestored(parts, task);
  }
  if (init.status === "stopped" || init.handle === undefined) throw alreadyFinished();
  send(() => init.handle?.signal(signal), "");
}

/** Every process in the container's cgroup; init alone where it has none. Nobody left is fine. Source: runc kill --all. */
function killEverything(parts: HostParts, task: Task, signal: number): void {
  if (task.cgroup === undefined) return killInit(parts, task, signal);
  for (const pid of cgroupPids(task.cgroup)) {
    try {
      send(() => parts.kernel.kill(pid, signal), "");
    } catch (error) {
      if (!(error instanceof FaultError && error.kind === "notFound")) throw error;
    }
  }
}

function send(action: () => void, context: string): void {
  try {
    action();
  } catch (error) {
    if (isErrno(error, "ESRCH")) throw alreadyFinished();
    if (error instanceof FaultError && error.kind === "notFound") throw error;
    throw new FaultError("unknown", `${context}unknown error after kill: ${messageOf(error)}`, { cause: error });
  }
}
