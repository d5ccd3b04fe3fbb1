import type { IOEntry, MemoryStat, Metrics } from "../../gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { type Figure, gauge, gauges } from "./figure.ts";

type BigintKey<T> = { [K in keyof T]-?: T[K] extends bigint ? K : never }[keyof T];

/** Of memory.stat and its neighbours: the metric's name, which is the kernel's, and the field. */
const memoryFields: readonly (readonly [name: string, field: BigintKey<MemoryStat>])[] = [
  ["usage", "usage"],
  ["usage_limit", "usageLimit"],
  ["swap_usage", "swapUsage"],
  ["swap_limit", "swapLimit"],
  ["file_mapped", "fileMapped"],
  ["file_dirty", "fileDirty"],
  ["file_writeback", "fileWriteback"],
  ["pgactivate", "pgactivate"],
  ["pgdeactivate", "pgdeactivate"],
  ["pgfault", "pgfault"],
  ["pgmajfault", "pgmajfault"],
  ["pglazyfree", "pglazyfree"],
  ["pgrefill", "pgrefill"],
  ["pglazyfreed", "pglazyfreed"],
  ["pgscan", "pgscan"],
  ["pgsteal", "pgsteal"],
  ["inactive_anon", "inactiveAnon"],
  ["active_anon", "activeAnon"],
  ["inactive_file", "inactiveFile"],
  ["active_file", "activeFile"],
  ["unevictable", "unevictable"],
  ["anon", "anon"],
  ["file", "file"],
  ["kernel_stack", "kernelStack"],
  ["slab", "slab"],
  ["sock", "sock"],
  ["shmem", "shmem"],
  ["anon_thp", "anonThp"],
  ["slab_reclaimable", "slabReclaimable"],
  ["slab_unreclaimable", "slabUnreclaimable"],
  ["workingset_refault", "workingsetRefault"],
  ["workingset_activate", "workingsetActivate"],
  ["workingset_nodereclaim", "workingsetNodereclaim"],
  ["thp_fault_alloc", "thpFaultAlloc"],
  ["thp_collapse_alloc", "thpCollapseAlloc"],
];

const ofDevice = ({ major, minor }: IOEntry): (readonly [string, string])[] => [
  ["major", String(major)],
  ["minor", String(minor)],
];

const io = (name: string, help: string, field: "rbytes" | "wbytes" | "rios" | "wios"): Figure<Metrics> =>
  gauges(
    name,
    help,
    (stats: Metrics) => stats.io?.usage,
    (entry) => entry[field],
    ofDevice,
  );

/** What containerd exports of a container in a cgroup v2, names and units as they are there. Source: core/metrics/cgroups/v2. */
export const figuresV2: readonly Figure<Metrics>[] = [
  gauge("pids_limit", "How many processes it may have.", ({ pids }) => pids?.limit),
  gauge("pids_current", "How many processes it has.", ({ pids }) => pids?.current),
  gauge("cpu_usage_usec_microseconds", "Processor time that was used.", ({ cpu }) => cpu?.usageUsec),
  gauge("cpu_user_usec_microseconds", "Processor time that was used in programs.", ({ cpu }) => cpu?.userUsec),
  gauge("cpu_system_usec_microseconds", "Processor time that was used in the kernel.", ({ cpu }) => cpu?.systemUsec),
  gauge("cpu_nr_periods_total", "Periods of the processor's quota that went by.", ({ cpu }) => cpu?.nrPeriods),
  gauge("cpu_nr_throttled_total", "Periods in which the quota was used up.", ({ cpu }) => cpu?.nrThrottled),
  gauge("cpu_throttled_usec_microseconds", "For how long the quota held it up.", ({ cpu }) => cpu?.throttledUsec),
  ...memoryFields.map(([name, field]) =>
    gauge(`memory_${name}_bytes`, `The kernel's ${name} of its memory.`, ({ memory }: Metrics) => memory?.[field]),
  ),
  gauge("memory_oom_total", "How often its memory did not suffice.", ({ memoryEvents }) => memoryEvents?.oom),
  io("io_rbytes_bytes", "Bytes that were read from a device.", "rbytes"),
  io("io_wbytes_bytes", "Bytes that were written to a device.", "wbytes"),
  io("io_rios_total", "Reads from a device.", "rios"),
  io("io_wios_total", "Writes to a device.", "wios"),
];
