import { decodeMessage, type Message } from "../client/transport/codec.ts";
import type { Metric } from "../gen/containerd/types/metrics_pb.ts";

/** What a container used up to one moment, whichever cgroup version told it. */
export interface UsageSample {
  readonly id: string;
  readonly at: number;
  readonly cpuNs: number;
  readonly memoryBytes: number;
  /** Undefined where there is no limit. */
  readonly memoryLimit: number | undefined;
  readonly pids: number;
  readonly pidsLimit: number | undefined;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Of interfaces that lead out; 0 for a container in the machine's own network. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Limits above this mean none: the kernel's "unlimited" rounded to pages. */
const noLimit = 2 ** 60;

/** Reads a metric of cgroup v1 or v2; undefined for another kind. Source: containerd/cgroups, cgroup1 and cgroup2 stats. */
export function sampleOf(metric: Metric, at: number): UsageSample | undefined {
  const type = metric.data?.typeUrl.slice(metric.data.typeUrl.lastIndexOf("/") + 1);
  if (metric.data === undefined) return undefined;
  if (type === "io.containerd.cgroups.v1.Metrics") return fromV1(metric.id, at, decodeMessage(type, metric.data.value));
  if (type === "io.containerd.cgroups.v2.Metrics") return fromV2(metric.id, at, decodeMessage(type, metric.data.value));
  return undefined;
}

function fromV1(id: string, at: number, metrics: Message): UsageSample {
  const memory = part(metrics, "memory");
  const io = list(part(metrics, "blkio"), "ioServiceBytesRecursive");
  const sum = (op: string): number =>
    io
      .filter((entry) => String(entry["op"]).toLowerCase() === op)
      .reduce((total, entry) => total + number(entry, "value"), 0);
  const usage = part(memory, "usage");
  return {
    id,
    at,
    cpuNs: number(part(part(metrics, "cpu"), "usage"), "total"),
    // Pages of files that nobody uses any more are given back on demand; docker does not count them either.
    memoryBytes: Math.max(0, number(usage, "usage") - number(memory, "totalInactiveFile")),
    memoryLimit: limit(number(usage, "limit")),
    pids: number(part(metrics, "pids"), "current"),
    pidsLimit: limit(number(part(metrics, "pids"), "limit")),
    readBytes: sum("read"),
    writtenBytes: sum("write"),
    ...network(metrics),
  };
}

function fromV2(id: string, at: number, metrics: Message): UsageSample {
  const memory = part(metrics, "memory");
  const io = list(part(metrics, "io"), "usage");
  return {
    id,
    at,
    cpuNs: number(part(metrics, "cpu"), "usageUsec") * 1000,
    memoryBytes: Math.max(0, number(memory, "usage") - number(memory, "inactiveFile")),
    memoryLimit: limit(number(memory, "usageLimit")),
    pids: number(part(metrics, "pids"), "current"),
    pidsLimit: limit(number(part(metrics, "pids"), "limit")),
    readBytes: io.reduce((total, entry) => total + number(entry, "rbytes"), 0),
    writtenBytes: io.reduce((total, entry) => total + number(entry, "wbytes"), 0),
    ...network(metrics),
  };
}

/** Without the loopback, as docker counts. */
function network(metrics: Message): { receivedBytes: number; sentBytes: number } {
  const outside = list(metrics, "network").filter((entry) => entry["name"] !== "lo");
  const sum = (name: string): number => outside.reduce((total, entry) => total + number(entry, name), 0);
  return { receivedBytes: sum("rxBytes"), sentBytes: sum("txBytes") };
}

function limit(value: number): number | undefined {
  return value > 0 && value < noLimit ? value : undefined;
}

function part(message: Message, name: string): Message {
  return (message[name] as Message | undefined) ?? {};
}

function list(message: Message, name: string): Message[] {
  return (message[name] as Message[] | undefined) ?? [];
}

function number(message: Message, name: string): number {
  return Number(message[name] ?? 0);
}
