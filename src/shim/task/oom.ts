import { TaskOOMSchema } from "../../gen/containerd/events/task_pb.ts";
import { OomWatch } from "../cgroup/oom.ts";
import { type HostParts, publish, topics } from "../parts.ts";
import type { Task } from "./task.ts";

/** Publishes /tasks/oom when the OOM killer strikes; a task that can't be watched is only warned about. */
export function watchOom(parts: HostParts, task: Task): void {
  if (task.cgroup === undefined || task.oom !== undefined) return;
  const { kernel, watcher } = parts;
  const onOom = (): void => publish(parts, task, topics.oom, TaskOOMSchema, { containerId: task.id });
  try {
    task.oom = new OomWatch({ kernel, watcher, cgroup: task.cgroup, onOom });
  } catch (error) {
    parts.log.warn("a task's memory can't be watched", { namespace: task.namespace, id: task.id, error });
  }
}
