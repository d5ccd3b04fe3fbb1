import type { Any } from "@bufbuild/protobuf/wkt";
import { MetricsSchema as MetricsV1Schema } from "../../gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { MetricsSchema as MetricsV2Schema } from "../../gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { FaultError, invalidArgument, notFound } from "../../lib/faults.ts";
import { anyOf, anyToJson } from "../../wire/any.ts";
import { processFolder, readCgroupFile } from "../cgroup/cgroup-files.ts";
import { readMetricsV1 } from "../cgroup/metrics-v1.ts";
import { readMetricsV2 } from "../cgroup/metrics-v2.ts";
import { statusOf } from "../task/status.ts";
import type { Task } from "../task/task.ts";

/** A task's live figures. Errors: notFound when it has no cgroup (any more). */
export function taskStats(task: Task): Any {
  const { cgroup } = task;
  const folder = cgroup === undefined ? undefined : processFolder(cgroup);
  if (cgroup === undefined || folder === undefined || readCgroupFile(folder, "cgroup.procs") === undefined) {
    throw notFound("cgroup does not exist");
  }
  // A number that is init's no more may be another's.
  const pid = task.init.status === "running" ? task.init.pid : 0;
  return cgroup.version === 1
    ? anyOf(MetricsV1Schema, readMetricsV1(cgroup.paths, pid))
    : anyOf(MetricsV2Schema, readMetricsV2(cgroup.path, pid));
}

/** Changes a task's limits. Errors: invalidArgument (no JSON object), unknown (it is stopped; the runtime's message). */
export async function updateTask(task: Task, resources: Any | undefined): Promise<void> {
  if (resources === undefined) throw invalidArgument("update: resources are missing");
  const value = anyToJson(resources);
  if (typeof value !== "object" || value === null) throw invalidArgument("update: resources are no object");
  using _lock = await task.lock.exclusive();
  if (statusOf(task, task.init) === "stopped") throw new FaultError("unknown", "cannot update a stopped container");
  await task.runtime.update(task.id, resources.value);
}
