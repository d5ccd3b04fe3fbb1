import type { TaskFigures } from "../../core/tasks/index.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { type Family, histogramSamples, type Sample } from "./exposition.ts";

/** How long the host may take to tell. */
const limitMs = 2000;

/** What the shim host tells of itself; nothing where none runs, or it does not answer in time. */
export async function hostFamilies(tasks: TaskFigures | undefined, log: Logger): Promise<readonly Family[]> {
  let host: Awaited<ReturnType<TaskFigures["host"]>>;
  try {
    host = await tasks?.host(limitMs);
  } catch (error) {
    log.warn("the shim host is missing in the metrics", { error: messageOf(error) });
  }
  if (host === undefined) return [];
  const { spawns, spawnsUnderWay, residentBytes } = host.figures;
  const gauge = (name: string, help: string, value: number): Family => ({
    name: `lighter_shim_host_${name}`,
    help,
    type: "gauge",
    samples: (): readonly Sample[] => [{ labels: [], value }],
  });
  return [
    gauge("resident_memory_bytes", "Memory of the shim host that is in use.", Number(residentBytes)),
    gauge("spawns_under_way", "OCI runtimes and other children that run or wait to be started.", spawnsUnderWay),
    {
      name: "lighter_shim_host_spawn_seconds",
      help: "How long OCI runtimes and other children took, waiting for their start included.",
      type: "histogram",
      samples: () =>
        histogramSamples([], spawns?.bounds ?? [], (spawns?.counts ?? []).map(Number), spawns?.totalSeconds ?? 0),
    },
  ];
}
