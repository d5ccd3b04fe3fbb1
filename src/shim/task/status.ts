import { freezerState } from "../cgroup/freezer.ts";
import type { TaskProcess } from "../process/process.ts";
import type { Task } from "./task.ts";

export type TaskStatus = "created" | "running" | "pausing" | "paused" | "stopped" | "unknown";

/**
 * What a process really does now: the freezer is asked, so that a task which others paused shows as such.
 * Shape: while the task is paused, or being paused, so are its execs. Source: containerd's shim, execProcess.Status.
 */
export function statusOf(task: Task, process: TaskProcess): TaskStatus {
  if (process.status === "stopped" || process.status === "created") return process.status;
  if (process.status === "creating") return "unknown";
  if (task.pausing) return "pausing";
  const state = freezerState(task.cgroup);
  if (state === "frozen") return "paused";
  return state === "freezing" ? "pausing" : "running";
}
