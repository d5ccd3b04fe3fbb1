import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Metrics, MetricsSchema } from "../../gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { blockDevices } from "./block-devices.ts";
import { parseCount, parseFlat, readCgroupFile } from "./cgroup-files.ts";
import { hugePageSizes } from "./huge-pages.ts";
import { type InterfaceFigures, readNetwork } from "./network.ts";
import { parseRdma } from "./rdma.ts";

/** What the kernel tells beside the cgroup's own files. */
export interface Surroundings {
  readonly network: readonly InterfaceFigures[];
  readonly devices: ReadonlyMap<string, string>;
  readonly pageSizes: readonly string[];
}

/** A file of a controller's folder; undefined where it is not there. */
export type ReadV1 = (controller: string, file: string) => string | undefined;

/** Reads a cgroup v1 task's figures. Source: containerd cgroups cgroup1/{cpu,cpuacct,memory,pids,blkio,hugetlb,rdma}.go. */
export function readMetricsV1(paths: Readonly<Record<string, string>>, pid: number): Metrics {
  const read: ReadV1 = (controller, file) => {
    const folder = paths[controller];
    return folder === undefined ? undefined : readCgroupFile(folder, file);
  };
  return metricsV1(read, { network: readNetwork(pid), devices: blockDevices(), pageSizes: hugePageSizes() });
}

export function metricsV1(read: ReadV1, { network, devices, pageSizes }: Surroundings): Metrics {
  const rdma = read("rdma", "rdma.current");
  return create(MetricsSchema, {
    hugetlb: pageSizes.flatMap((size) => hugetlb(read, size)),
    pids: { current: parseCount(read("pids", "pids.current")), limit: limit(read("pids", "pids.max")) },
    cpu: cpu(read),
    memory: memory(read),
    blkio: blkio(read, devices),
    ...(rdma === undefined ? {} : { rdma: { current: parseRdma(rdma), limit: parseRdma(read("rdma", "rdma.max")) } }),
    network: [...network],
    memoryOomControl: oomControl(read),
  });
}

/** "max" means no limit, which v1's message writes as 0. */
function limit(text: string | undefined): bigint {
  return text?.trim() === "max" ? 0n : parseCount(text);
}

/** Nanoseconds in a tick of USER_HZ. Source: proc(5). */
const nsPerTick = 10_000_000n;

function cpu(read: ReadV1): MessageInitShape<typeof MetricsSchema>["cpu"] {
  const stat = parseFlat(read("cpuacct", "cpuacct.stat"));
  const throttle = parseFlat(read("cpu", "cpu.stat"));
  const perCpu = (read("cpuacct", "cpuacct.usage_percpu") ?? "")
    .trim()
    .split(/\s+/)
    .filter((one) => /^\d+$/.test(one));
  return {
    usage: {
      total: parseCount(read("cpuacct", "cpuacct.usage")),
      user: (stat.get("user") ?? 0n) * nsPerTick,
      kernel: (stat.get("system") ?? 0n) * nsPerTick,
      perCpu: perCpu.map(BigInt),
    },
    throttling: {
      periods: throttle.get("nr_periods") ?? 0n,
      throttledPeriods: throttle.get("nr_throttled") ?? 0n,
      throttledTime: throttle.get("throttled_time") ?? 0n,
    },
  };
}

/** The message's field for each line of memory.stat whose name is not its camel case. */
const memoryNames: Readonly<Record<string, string>> = {
  pgpgin: "pgPgIn",
  pgpgout: "pgPgOut",
  pgfault: "pgFault",
  pgmajfault: "pgMajFault",
  hierarchical_memsw_limit: "hierarchicalSwapLimit",
  total_pgpgin: "totalPgPgIn",
  total_pgpgout: "totalPgPgOut",
  total_pgfault: "totalPgFault",
  total_pgmajfault: "totalPgMajFault",
};

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

function memory(read: ReadV1): MessageInitShape<typeof MetricsSchema>["memory"] {
  const values: Record<string, bigint> = {};
  for (const [name, value] of parseFlat(read("memory", "memory.stat"))) {
    const field = memoryNames[name] ?? camel(name);
    if (memoryFields.has(field)) values[field] = value;
  }
  const entry = (module: string) => ({
    limit: parseCount(read("memory", `memory.${module}limit_in_bytes`)),
    usage: parseCount(read("memory", `memory.${module}usage_in_bytes`)),
    max: parseCount(read("memory", `memory.${module}max_usage_in_bytes`)),
    failcnt: parseCount(read("memory", `memory.${module}failcnt`)),
  });
  return {
    ...values,
    usage: entry(""),
    swap: entry("memsw."),
    kernel: entry("kmem."),
    kernelTcp: entry("kmem.tcp."),
  };
}

const countFields = MetricsSchema.fields.find((one) => one.name === "memory")?.message?.fields ?? [];
const memoryFields: ReadonlySet<string> = new Set(
  countFields.filter((one) => one.fieldKind === "scalar").map((one) => one.localName),
);

function oomControl(read: ReadV1): MessageInitShape<typeof MetricsSchema>["memoryOomControl"] {
  const values = parseFlat(read("memory", "memory.oom_control"));
  return {
    oomKillDisable: values.get("oom_kill_disable") ?? 0n,
    underOom: values.get("under_oom") ?? 0n,
    oomKill: values.get("oom_kill") ?? 0n,
  };
}

function hugetlb(read: ReadV1, pagesize: string): MessageInitShape<typeof MetricsSchema>["hugetlb"] & object {
  const usage = read("hugetlb", `hugetlb.${pagesize}.usage_in_bytes`);
  if (usage === undefined) return [];
  const count = (name: string): bigint => parseCount(read("hugetlb", `hugetlb.${pagesize}.${name}`));
  return [{ usage: parseCount(usage), max: count("max_usage_in_bytes"), failcnt: count("failcnt"), pagesize }];
}

/** Fields of the message by the files of a kernel with CFQ; BFQ and throttling have but two of them. */
const blkioFiles = {
  ioServiceBytesRecursive: [
    "io_service_bytes_recursive",
    "throttle.io_service_bytes_recursive",
    "throttle.io_service_bytes",
  ],
  ioServicedRecursive: ["io_serviced_recursive", "throttle.io_serviced_recursive", "throttle.io_serviced"],
  ioQueuedRecursive: ["io_queued_recursive"],
  ioServiceTimeRecursive: ["io_service_time_recursive"],
  ioWaitTimeRecursive: ["io_wait_time_recursive"],
  ioMergedRecursive: ["io_merged_recursive"],
  ioTimeRecursive: ["time_recursive"],
  sectorsRecursive: ["sectors_recursive"],
} as const;

function blkio(read: ReadV1, devices: Surroundings["devices"]): MessageInitShape<typeof MetricsSchema>["blkio"] {
  const fields = Object.entries(blkioFiles).map(([field, names]) => {
    const lists = names.map((name) => blkioEntries(read("blkio", `blkio.${name}`), devices));
    return [field, lists.find((entries) => entries.length > 0) ?? []];
  });
  return Object.fromEntries(fields);
}

/** Lines of `major:minor [Op] value`; the Total line has no device and is left out. */
function blkioEntries(text: string | undefined, devices: Surroundings["devices"]) {
  return (text ?? "").split("\n").flatMap((line) => {
    const match = /^(\d+):(\d+) (?:(\w+) )?(\d+)$/.exec(line);
    if (match === null) return [];
    const [, major = "0", minor = "0", op = "", value = "0"] = match;
    const device = devices.get(`${major}:${minor}`) ?? "";
    return [{ op, device, major: BigInt(major), minor: BigInt(minor), value: BigInt(value) }];
  });
}
