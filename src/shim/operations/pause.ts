import { TaskPausedSchema, TaskResumedSchema } from "../../gen/containerd/events/task_pb.ts";
import { FaultError } from "../../lib/faults.ts";
import { freeze, hasFreezer, thaw } from "../cgroup/freezer.ts";
import { type HostParts, publish, topics } from "../parts.ts";
import { ownProgram } from "../task/own-program.ts";
import { statusOf } from "../task/status.ts";
import type { Task } from "../task/task.ts";

/**
 * Stops every process of a task where it stands.
 * Shape: by the freezer itself, which is all that runc and crun keep of it too; by the runtime where there is none.
 * Errors: unknown, worded as containerd's shim, when the task is not running. Effects: event /tasks/paused.
 */
export async function pauseTask(parts: HostParts, task: Task): Promise<void> {
  using _lock = await task.lock.exclusive();
  await ownProgram(task);
  const status = statusOf(task, task.init);
  if (status !== "running") throw refusal("pause", status);
  task.pausing = true;
  try {
    if (hasFreezer(task.cgroup)) await freeze(task.cgroup);
    else await task.runtime.pause(task.id);
  } finally {
    task.pausing = false;
  }
  publish(parts, task, topics.paused, TaskPausedSchema, { containerId: task.id });
}

/** Lets a paused task run on. Errors: unknown when it is not paused. Effects: event /tasks/resumed. */
export async function resumeTask(parts: HostParts, task: Task): Promise<void> {
  using _lock = await task.lock.exclusive();
  const status = statusOf(task, task.init);
  if (status !== "paused" && status !== "pausing") throw refusal("resume", status);
  if (hasFreezer(task.cgroup)) thaw(task.cgroup);
  else await task.runtime.resume(task.id);
  publish(parts, task, topics.resumed, TaskResumedSchema, { containerId: task.id });
}

/** As each state of containerd's shim words it. Source: containerd cmd/containerd-shim-runc-v2/process/init_state.go. */
function refusal(verb: "pause" | "resume", status: string): FaultError {
  if (status === "created") return new FaultError("unknown", `cannot ${verb} task in created state`);
  const noun = status === "running" ? "process" : "container";
  return new FaultError("unknown", `cannot ${verb} a ${status} ${noun}`);
}
