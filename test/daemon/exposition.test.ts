import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { createExchange } from "../../src/core/events/index.ts";
import { CallCounts } from "../../src/daemon/metrics/call-counts.ts";
import { figuresV1 } from "../../src/daemon/metrics/cgroup-v1.ts";
import { figuresV2 } from "../../src/daemon/metrics/cgroup-v2.ts";
import { ContainerFigures } from "../../src/daemon/metrics/container-figures.ts";
import { exposition, type Family, histogramSamples } from "../../src/daemon/metrics/exposition.ts";
import { TaskExitSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { ContainerSchema } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { MetricsSchema as V1Schema } from "../../src/gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { MetricsSchema as V2Schema } from "../../src/gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { createCtx } from "../../src/lib/ctx.ts";
import { notFound } from "../../src/lib/faults.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { anyOf } from "../../src/wire/any.ts";
import { defineService } from "../../src/wire/service.ts";
import { readPage } from "../support/exposition.ts";

async function pageOf(families: Iterable<Family>): Promise<string> {
  return (await Array.fromAsync(exposition(families))).join("");
}

const gauge = (name: string, samples: () => ReturnType<Family["samples"]>): Family => ({
  name,
  help: "what\\it\nis",
  type: "gauge",
  samples,
});

describe("exposition", () => {
  test("escapes what would break the page, and reads back as it was", async () => {
    const nasty = 'a "b" \\ \n c';
    const page = await pageOf([gauge("g", () => [{ labels: [["l", nasty]], value: Number.POSITIVE_INFINITY }])]);
    expect(page).toBe('# HELP g what\\\\it\\nis\n# TYPE g gauge\ng{l="a \\"b\\" \\\\ \\n c"} +Inf\n');
    expect(readPage(page).get("g")?.samples).toMatchObject([{ value: Number.POSITIVE_INFINITY }]);
    expect(readPage(page).get("g")?.samples[0]?.labels.get("l")).toBe(nasty);
  });

  test("leaves out a metric without numbers", async () => {
    expect(await pageOf([gauge("none", () => []), gauge("one", () => [{ labels: [], value: 1 }])])).not.toContain(
      "none",
    );
  });

  test("lets the event loop go while it writes a long page", async () => {
    let turns = 0;
    const counting = setInterval(() => turns++, 0);
    const samples = function* (): Generator<{ labels: [string, string][]; value: number }> {
      for (let at = 0; at < 200_000; at++) yield { labels: [["at", String(at)]], value: at };
    };
    const page = await pageOf([gauge("g", samples)]);
    clearInterval(counting);
    expect(turns).toBeGreaterThan(10);
    expect(page.match(/\n/g)).toHaveLength(200_002);
  });

  test("writes histograms whose buckets add up", async () => {
    const samples = (): ReturnType<Family["samples"]> => histogramSamples([["a", "b"]], [0.1, 1], [3, 0, 2], 7.5);
    const page = await pageOf([{ name: "h", help: "h", type: "histogram", samples }]);
    expect(
      readPage(page)
        .get("h")
        ?.samples.map(({ value }) => value),
    ).toEqual([3, 3, 5, 7.5, 5]);
  });
});

describe("readPage", () => {
  test.each([
    ["# TYPE a gauge\n# HELP a x\na 1", "the last line has no end"],
    ["# TYPE a gauge\n# TYPE a gauge\na 1\n", "twice"],
    ["# HELP a x\n# HELP a x\n", "twice"],
    ["# TYPE a gage\n", "no type"],
    ["a 1\n", "no type or no help"],
    ["# HELP a x\n# TYPE a gauge\na 1\na 1\n", "twice"],
    ['# HELP a x\n# TYPE a gauge\na{l="1"} 1\n# HELP b x\n# TYPE b gauge\nb 1\na{l="2"} 1\n', "not together"],
    ["# HELP a x\n# TYPE a gauge\na 1\n# HELP a x\n", "after numbers"],
    ['# HELP a x\n# TYPE a gauge\na{l="\\x"} 1\n', "malformed labels"],
    ['# HELP a x\n# TYPE a gauge\na{l="1",l="2"} 1\n', "a label twice"],
    ["# HELP a x\n# TYPE a gauge\na one\n", "no number"],
    ["# HELP a x\n# TYPE a counter\na -1\n", "below zero"],
    [
      '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
      "does not add up",
    ],
    ['# HELP h x\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n', "does not add up"],
  ])("refuses %j: %s", (page, why) => {
    expect(() => readPage(page)).toThrow(why);
  });
});

describe("CallCounts", () => {
  test("has every method with zeros, and counts what is called", async () => {
    const counts = new CallCounts(true);
    counts.add([defineService(Version, {})]);
    const before = readPage(await pageOf(counts.families()));
    expect(before.get("grpc_server_handled_total")?.samples).toHaveLength(17);
    expect(before.get("grpc_server_handled_total")?.samples.every(({ value }) => value === 0)).toBe(true);
    const record = counts.begin({ method: Version.method.version });
    record.received();
    record.sent();
    record.ended(5, "");
    const after = readPage(await pageOf(counts.families()));
    const found = after.get("grpc_server_handled_total")?.samples.filter(({ value }) => value > 0);
    expect(found?.map(({ labels }) => Object.fromEntries(labels))).toEqual([
      {
        grpc_type: "unary",
        grpc_service: "containerd.services.version.v1.Version",
        grpc_method: "Version",
        grpc_code: "NotFound",
      },
    ]);
    expect(after.get("grpc_server_handling_seconds")?.samples.at(-1)?.value).toBe(1);
  });
});

describe("the figures of a container", () => {
  test("have names that are each there once", () => {
    for (const figures of [figuresV1, figuresV2]) {
      const names = figures.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
    }
  });

  test("of cgroup v2 are all told, those of each device too", async () => {
    const stats = create(V2Schema, {
      pids: { current: 3n, limit: 0n },
      cpu: { usageUsec: 5n },
      memory: { usage: 7n },
      memoryEvents: { oom: 1n },
      io: { usage: [8n, 9n].map((minor) => ({ major: 259n, minor, rbytes: 11n })) },
    });
    await using bed = bedOf({ c1: async () => anyOf(V2Schema, stats) });
    const page = readPage(await pageOf(await bed.figures.families()));
    expect([...page.keys()].toSorted()).toEqual(figuresV2.map(({ name }) => name).toSorted());
    const read = page
      .get("container_io_rbytes_bytes")
      ?.samples.map(({ labels, value }) => [labels.get("minor"), value]);
    expect(read).toEqual([
      ["8", 11],
      ["9", 11],
    ]);
    expect(Object.fromEntries(page.get("container_cpu_usage_usec_microseconds")!.samples[0]!.labels)).toEqual({
      container_id: "c1",
      namespace: "ns",
      runtime: "io.containerd.runc.v2",
    });
  });

  test("are gone with its exit, and back with another of its name", async () => {
    const stats = async (): Promise<ReturnType<typeof anyOf>> =>
      anyOf(V1Schema, create(V1Schema, { pids: { current: 1n, limit: 5n } }));
    await using bed = bedOf({ c1: stats, c2: stats });
    const ids = async (): Promise<(string | undefined)[]> => {
      const page = readPage(await pageOf(await bed.figures.families()));
      return page.get("container_pids_current")?.samples.map(({ labels }) => labels.get("container_id")) ?? [];
    };
    expect(await ids()).toEqual(["c1", "c2"]);
    bed.exit("c1", "an-exec");
    expect(await ids()).toEqual(["c1", "c2"]);
    bed.exit("c1", "c1");
    expect(await ids()).toEqual(["c2"]);
    bed.replace("c1");
    expect(await ids()).toEqual(["c1", "c2"]);
  });

  test("of one that has no process any more, or no cgroup, are left out", async () => {
    await using bed = bedOf({
      ended: async () => anyOf(V2Schema, create(V2Schema, { pids: { current: 0n } })),
      gone: () => Promise.reject(notFound("cgroup")),
    });
    expect(await bed.figures.families()).toEqual([]);
    expect(bed.figures.failures).toBe(0);
  });

  test("are asked for sixteen at once, and whoever is late is left out and counted", async () => {
    const limits: number[] = [];
    let [now, most] = [0, 0];
    const slow = async (timeoutMs?: number): Promise<ReturnType<typeof anyOf>> => {
      limits.push(timeoutMs ?? 0);
      most = Math.max(most, ++now);
      await Bun.sleep(timeoutMs ?? 0);
      now--;
      throw new Error("too late");
    };
    const tasks = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`c${at}`, slow]));
    await using bed = bedOf(tasks, { oneLimitMs: 400, allLimitMs: 300 });
    const [one, other] = await Promise.all([bed.figures.families(), bed.figures.families()]);
    expect(one).toBe(other);
    expect([most, bed.figures.failures]).toEqual([16, 40]);
    expect(limits).toEqual(Array.from({ length: 16 }, () => 400));
  });
});

type Stats = (timeoutMs?: number) => Promise<ReturnType<typeof anyOf> | undefined>;

/** Figures over tasks that answer as they are told. */
function bedOf(stats: Readonly<Record<string, Stats>>, limits: { oneLimitMs?: number; allLimitMs?: number } = {}) {
  const exchange = createExchange({ log: silentLogger });
  const make = (id: string): never => ({ namespace: "ns", id, stats: stats[id] }) as never;
  const tasks = new Map(Object.keys(stats).map((id) => [id, make(id)]));
  const figures = new ContainerFigures({
    tasks: { all: () => [...tasks.values()], find: (_namespace, id) => tasks.get(id) },
    containers: { get: () => create(ContainerSchema, { runtime: { name: "io.containerd.runc.v2" } }) },
    exchange,
    log: silentLogger,
    timeouts: { shimStatsMs: limits.oneLimitMs ?? 2000 },
    ...(limits.allLimitMs === undefined ? {} : { allLimitMs: limits.allLimitMs }),
  });
  return {
    figures,
    exit: (containerId: string, id: string) => {
      const exit = anyOf(TaskExitSchema, create(TaskExitSchema, { containerId, id }));
      exchange.publish(createCtx({ namespace: "ns" }), "/tasks/exit", exit);
    },
    replace: (id: string) => void tasks.set(id, make(id)),
    [Symbol.asyncDispose]: async () => figures[Symbol.dispose](),
  };
}
