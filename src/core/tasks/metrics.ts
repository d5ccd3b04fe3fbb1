import { create } from "@bufbuild/protobuf";
import { type Metric, MetricSchema } from "../../gen/containerd/types/metrics_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { isFault } from "../../lib/faults.ts";
import { absentField, type FieldAdaptor, nonEmptyField, parseFilters } from "../../lib/filters.ts";
import type { Logger } from "../../lib/log.ts";
import type { Task } from "./tasks.ts";

/**
 * Measures the tasks that match, all at once.
 * Shape: filters know `id` and `namespace`. Source: containerd plugins/services/tasks/local.go, getTasksMetrics.
 */
export async function collectMetrics(
  tasks: readonly Task[],
  filters: readonly string[],
  log: Logger,
): Promise<readonly Metric[]> {
  const filter = parseFilters(filters);
  const chosen = filter.matchesAll ? tasks : tasks.filter((task) => filter.matches(fieldsOf(task)));
  const measured = await Promise.all(chosen.map((task) => measure(task, log)));
  return measured.filter((metric) => metric !== undefined);
}

function fieldsOf(task: Task): FieldAdaptor {
  return ([name]) => {
    if (name === "id") return nonEmptyField(task.id);
    return name === "namespace" ? nonEmptyField(task.namespace) : absentField;
  };
}

async function measure(task: Task, log: Logger): Promise<Metric | undefined> {
  const timestamp = systemClock().toTimestamp();
  try {
    const data = await task.stats();
    return create(MetricSchema, { timestamp, id: task.id, ...(data === undefined ? {} : { data }) });
  } catch (error) {
    if (!isFault(error, "notFound")) log.error(`collecting metrics for ${task.id}`, { error });
    return undefined;
  }
}
