import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Metrics, MetricsSchema } from "../../gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { parseCount, parseFlat, readCgroupFile } from "./cgroup-files.ts";
import { hugePageSizes } from "./huge-pages.ts";
import type { Surroundings as SurroundingsV1 } from "./metrics-v1.ts";
import { readNetwork } from "./network.ts";
import { type PressureStalls, parsePressure } from "./pressure.ts";
import { parseRdma } from "./rdma.ts";

/** A file of the cgroup; undefined where it is not there. */
export type ReadV2 = (file: string) => string | undefined;

/** What the kernel tells beside the cgroup's own files. */
export type Surroundings = Pick<SurroundingsV1, "network" | "pageSizes">;

/** Reads a cgroup v2 task's figures. Source: containerd cgroups cgroup2/manager.go, Stat. */
export function readMetricsV2(folder: string, pid: number): Metrics {
  const read: ReadV2 = (file) => readCgroupFile(folder, file);
  return metricsV2(read, { network: readNetwork(pid), pageSizes: hugePageSizes() });
}

export function metricsV2(read: ReadV2, { network, pageSizes }: Surroundings): Metrics {
  const events = read("memory.events");
  return create(MetricsSchema, {
    pids: { current: parseCount(read("pids.current")), limit: parseCount(read("pids.max")) },
    cpu: { ...fields("cpu", read("cpu.stat")), ...pressure(read("cpu.pressure")) },
    memory: memory(read),
    ...(events === undefined ? {} : { memoryEvents: fields("memory_events", events) }),
    io: { usage: ioEntries(read("io.stat")), ...pressure(read("io.pressure")) },
    rdma: { current: parseRdma(read("rdma.current")), limit: parseRdma(read("rdma.max")) },
    hugetlb: pageSizes.flatMap((size) => hugetlb(read, size)),
    network: [...network],
  });
}

function pressure(text: string | undefined): { psi?: PressureStalls } {
  const psi = parsePressure(text);
  return psi === undefined ? {} : { psi };
}

function hugetlb(read: ReadV2, pagesize: string): MessageInitShape<typeof MetricsSchema>["hugetlb"] & object {
  const current = read(`hugetlb.${pagesize}.current`);
  if (current === undefined) return [];
  const failcnt = parseFlat(read(`hugetlb.${pagesize}.events`)).get("max") ?? 0n;
  return [{ current: parseCount(current), max: parseCount(read(`hugetlb.${pagesize}.max`)), pagesize, failcnt }];
}

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Those lines of a flat file for which a message has a field. */
function fields(message: string, text: string | undefined): Record<string, bigint> {
  const schema = MetricsSchema.fields.find((one) => one.name === message)?.message;
  const known = new Set(schema?.fields.filter((one) => one.fieldKind === "scalar").map((one) => one.name));
  const values: Record<string, bigint> = {};
  for (const [name, value] of parseFlat(text)) {
    if (known.has(name)) values[camel(name)] = value;
  }
  return values;
}

function memory(read: ReadV2): MessageInitShape<typeof MetricsSchema>["memory"] {
  const stat = read("memory.stat");
  return {
    ...workingset(stat),
    ...fields("memory", stat),
    usage: parseCount(read("memory.current")),
    usageLimit: parseCount(read("memory.max")),
    maxUsage: parseCount(read("memory.peak")),
    swapUsage: parseCount(read("memory.swap.current")),
    swapLimit: parseCount(read("memory.swap.max")),
    swapMaxUsage: parseCount(read("memory.swap.peak")),
    ...pressure(read("memory.pressure")),
  };
}

/** Since Linux 5.9 these are told apart by what the pages held. Source: kernel Documentation/admin-guide/cgroup-v2.rst. */
function workingset(stat: string | undefined): Record<string, bigint> {
  const values = parseFlat(stat);
  const sum = (name: string): bigint => (values.get(`${name}_anon`) ?? 0n) + (values.get(`${name}_file`) ?? 0n);
  return { workingsetRefault: sum("workingset_refault"), workingsetActivate: sum("workingset_activate") };
}

/** Lines of `major:minor rbytes=N wbytes=N rios=N wios=N ...`. */
function ioEntries(text: string | undefined) {
  return (text ?? "").split("\n").flatMap((line) => {
    const device = /^(\d+):(\d+) /.exec(line);
    if (device === null) return [];
    const value = (name: string): bigint => BigInt(new RegExp(`\\b${name}=(\\d+)`).exec(line)?.[1] ?? "0");
    const [, major = "0", minor = "0"] = device;
    return [
      {
        major: BigInt(major),
        minor: BigInt(minor),
        rbytes: value("rbytes"),
        wbytes: value("wbytes"),
        rios: value("rios"),
        wios: value("wios"),
      },
    ];
  });
}
