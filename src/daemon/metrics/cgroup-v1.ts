import type {
  BlkIOEntry,
  BlkIOStat,
  HugetlbStat,
  MemoryEntry,
  MemoryStat,
  Metrics,
} from "../../gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { type Figure, gauge, gauges } from "./figure.ts";

type BigintKey<T> = { [K in keyof T]-?: T[K] extends bigint ? K : never }[keyof T];

const memoryFields: readonly (readonly [name: string, field: BigintKey<MemoryStat>])[] = [
  ["cache", "cache"],
  ["rss", "rss"],
  ["rss_huge", "rssHuge"],
  ["mapped_file", "mappedFile"],
  ["dirty", "dirty"],
  ["writeback", "writeback"],
  ["pgpgin", "pgPgIn"],
  ["pgpgout", "pgPgOut"],
  ["pgfault", "pgFault"],
  ["pgmajfault", "pgMajFault"],
  ["inactive_anon", "inactiveAnon"],
  ["active_anon", "activeAnon"],
  ["inactive_file", "inactiveFile"],
  ["active_file", "activeFile"],
  ["unevictable", "unevictable"],
  ["hierarchical_memory_limit", "hierarchicalMemoryLimit"],
  ["hierarchical_memsw_limit", "hierarchicalSwapLimit"],
  ["total_cache", "totalCache"],
  ["total_rss", "totalRss"],
  ["total_rss_huge", "totalRssHuge"],
  ["total_mapped_file", "totalMappedFile"],
  ["total_dirty", "totalDirty"],
  ["total_writeback", "totalWriteback"],
  ["total_pgpgin", "totalPgPgIn"],
  ["total_pgpgout", "totalPgPgOut"],
  ["total_pgfault", "totalPgFault"],
  ["total_pgmajfault", "totalPgMajFault"],
  ["total_inactive_anon", "totalInactiveAnon"],
  ["total_active_anon", "totalActiveAnon"],
  ["total_inactive_file", "totalInactiveFile"],
  ["total_active_file", "totalActiveFile"],
  ["total_unevictable", "totalUnevictable"],
];

const counters = [
  ["usage", "usage"],
  ["swap", "swap"],
  ["kernel", "kernel"],
  ["kerneltcp", "kernelTcp"],
] as const satisfies readonly (readonly [string, keyof MemoryStat])[];

const counterFields = [
  ["failcnt_total", "failcnt", "How often the limit was reached."],
  ["limit_bytes", "limit", "How much there may be."],
  ["max_bytes", "max", "The most that there was."],
  ["usage_bytes", "usage", "How much there is."],
] as const satisfies readonly (readonly [string, BigintKey<MemoryEntry>, string])[];

const memory: readonly Figure<Metrics>[] = [
  ...memoryFields.map(([name, field]) =>
    gauge(`memory_${name}_bytes`, `The kernel's ${name} of its memory.`, (stats: Metrics) => stats.memory?.[field]),
  ),
  ...counters.flatMap(([kind, part]) =>
    counterFields.map(([name, field, help]) =>
      gauge(`memory_${kind}_${name}`, help, (stats: Metrics) => stats.memory?.[part]?.[field]),
    ),
  ),
];

const huge = (name: string, help: string, field: BigintKey<HugetlbStat>): Figure<Metrics> =>
  gauges(
    name,
    help,
    (stats: Metrics) => stats.hugetlb,
    (one) => one[field],
    ({ pagesize }) => [["page", pagesize]],
  );

type BlkioKey = { [K in keyof BlkIOStat]-?: BlkIOStat[K] extends BlkIOEntry[] ? K : never }[keyof BlkIOStat];

const blkio = (name: string, field: BlkioKey): Figure<Metrics> =>
  gauges(
    `blkio_${name}`,
    `The kernel's ${name} of its devices.`,
    (stats: Metrics) => stats.blkio?.[field],
    ({ value }) => value,
    ({ op, device, major, minor }) => [
      ["op", op],
      ["device", device],
      ["major", String(major)],
      ["minor", String(minor)],
    ],
  );

/** containerd counts the kernel's notices since it watches; this is the kernel's own count of processes that it ended. */
const oom: Figure<Metrics> = {
  ...gauge("memory_oom_total", "How often a process was ended for want of memory.", (stats: Metrics) => {
    return stats.memoryOomControl?.oomKill;
  }),
  type: "counter",
};

/** What containerd exports of a container in cgroups v1, names and units as they are there. Source: core/metrics/cgroups/v1. */
export const figuresV1: readonly Figure<Metrics>[] = [
  gauge("pids_limit", "How many processes it may have.", ({ pids }) => pids?.limit),
  gauge("pids_current", "How many processes it has.", ({ pids }) => pids?.current),
  gauge("cpu_total_nanoseconds", "Processor time that was used.", ({ cpu }) => cpu?.usage?.total),
  gauge("cpu_kernel_nanoseconds", "Processor time that was used in the kernel.", ({ cpu }) => cpu?.usage?.kernel),
  gauge("cpu_user_nanoseconds", "Processor time that was used in programs.", ({ cpu }) => cpu?.usage?.user),
  gauges(
    "per_cpu_nanoseconds",
    "Processor time that was used, of each processor.",
    (stats: Metrics) => stats.cpu?.usage?.perCpu,
    (value) => value,
    (_value, index) => [["cpu", String(index)]],
  ),
  gauge("cpu_throttle_periods_total", "Periods of the quota that went by.", ({ cpu }) => cpu?.throttling?.periods),
  gauge("cpu_throttled_periods_total", "Periods in which the quota was used up.", ({ cpu }) => {
    return cpu?.throttling?.throttledPeriods;
  }),
  gauge("cpu_throttled_time_nanoseconds", "For how long the quota held it up.", ({ cpu }) => {
    return cpu?.throttling?.throttledTime;
  }),
  ...memory,
  oom,
  huge("hugetlb_usage_bytes", "Memory in huge pages.", "usage"),
  huge("hugetlb_failcnt_total", "How often the limit of huge pages was reached.", "failcnt"),
  huge("hugetlb_max_bytes", "The most memory in huge pages that there was.", "max"),
  blkio("io_merged_recursive_total", "ioMergedRecursive"),
  blkio("io_queued_recursive_total", "ioQueuedRecursive"),
  blkio("io_service_bytes_recursive_bytes", "ioServiceBytesRecursive"),
  blkio("io_service_time_recursive_total", "ioServiceTimeRecursive"),
  blkio("io_serviced_recursive_total", "ioServicedRecursive"),
  blkio("io_time_recursive_total", "ioTimeRecursive"),
  blkio("sectors_recursive_total", "sectorsRecursive"),
];
