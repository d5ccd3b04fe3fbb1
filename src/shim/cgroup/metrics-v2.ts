import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Metrics, MetricsSchema } from "../../gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { parseCount, parseFlat, readCgroupFile } from "./cgroup-files.ts";

/** A file of the cgroup; undefined where it is not there. */
export type ReadV2 = (file: string) => string | undefined;

/** Reads a cgroup v2 task's figures. Source: containerd cgroups cgroup2/manager.go, Stat. */
export function readMetricsV2(folder: string): Metrics {
  return metricsV2((file) => readCgroupFile(folder, file));
}

export function metricsV2(read: ReadV2): Metrics {
  return create(MetricsSchema, {
    pids: { current: parseCount(read("pids.current")), limit: limit(read("pids.max")) },
    cpu: fields("cpu", read("cpu.stat"), {}),
    memory: memory(read),
    memoryEvents: fields("memory_events", read("memory.events"), {}),
    io: { usage: ioEntries(read("io.stat")) },
  });
}

function limit(text: string | undefined): bigint {
  return text?.trim() === "max" ? 0n : parseCount(text);
}

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Those lines of a flat file for which a message has a field. */
function fields(message: string, text: string | undefined, names: Readonly<Record<string, string>>) {
  const schema = MetricsSchema.fields.find((one) => one.name === message)?.message;
  const known = new Set(schema?.fields.filter((one) => one.fieldKind === "scalar").map((one) => one.name));
  const values: Record<string, bigint> = {};
  for (const [name, value] of parseFlat(text)) {
    const field = names[name] ?? name;
    if (known.has(field)) values[camel(field)] = value;
  }
  return values;
}

function memory(read: ReadV2): MessageInitShape<typeof MetricsSchema>["memory"] {
  return {
    ...fields("memory", read("memory.stat"), { kernel: "kernel_stack_total" }),
    usage: parseCount(read("memory.current")),
    usageLimit: parseCount(read("memory.max")),
    maxUsage: parseCount(read("memory.peak")),
    swapUsage: parseCount(read("memory.swap.current")),
    swapLimit: parseCount(read("memory.swap.max")),
    swapMaxUsage: parseCount(read("memory.swap.peak")),
  };
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
