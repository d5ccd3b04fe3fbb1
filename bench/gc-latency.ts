// Measures what callers feel of a garbage collection: latencies of the API, idle and while a large store is collected.
// usage: bun bench/gc-latency.ts [--blobs 100000] [--snapshots 20000] [--rounds 5]
import { parseArgs } from "node:util";
import { Content } from "../src/gen/containerd/services/content/v1/content_pb.ts";
import { Leases } from "../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Version } from "../src/gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc } from "../src/wire/grpc/index.ts";
import { type Daemon, startLighter } from "../test/support/index.ts";
import { fillStore } from "./gc/synthetic-store.ts";
import { pssMegabytes } from "./memory.ts";
import { programOption } from "./sides.ts";
import { summarize } from "./statistics.ts";

export interface LatencyOptions {
  readonly blobs: number;
  readonly snapshots: number;
  readonly rounds: number;
}

/** p99 while a store is collected over p99 idle, round by round; the first one collects half of everything. */
export interface LatencyRecord {
  readonly options: LatencyOptions;
  readonly ratios: { readonly [way in Way]: number[] };
}

type Way = "read" | "write";

/** How much longer a call may take than on an idle daemon. */
const aim = 2;
const idleMs = 5000;

const settings = `[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "1h"
deletion_threshold = 1000000
mutation_threshold = 0
`;

/** Callers that do not wait for one another: a call every so often, as a node's clients make them. */
interface Sample {
  readonly read: number[];
  readonly write: number[];
}

async function sampleUntil(daemon: Daemon, done: () => boolean): Promise<Sample> {
  await using connection = await connectGrpc({ path: daemon.address });
  const call = { namespace: "callers" };
  const leases = connection.client(Leases, call);
  const version = connection.client(Version, call);
  const sample: Sample = { read: [], write: [] };
  const timed = async (into: number[], action: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await action();
    into.push(performance.now() - start);
  };
  for (let round = 0; !done(); round++) {
    const id = `l${round}`;
    await timed(sample.read, () => version.version({}));
    await timed(sample.read, () => leases.list({ filters: ["id==x"] }));
    await timed(sample.write, () => leases.create({ id }));
    await timed(sample.write, () => leases.delete({ id }));
    await Bun.sleep(1);
  }
  return sample;
}

function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN;
}

function describe(name: string, times: number[]): number {
  times.sort((one, other) => one - other);
  const [p50, p99, max] = [quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1)];
  console.error(
    `${name.padEnd(24)} p50 ${p50.toFixed(3)} p99 ${p99.toFixed(3)} max ${max.toFixed(3)} ms of ${times.length}`,
  );
  return p99;
}

/** Fills a store, and collects it again and again while others call. */
export async function benchLatency(options: LatencyOptions): Promise<LatencyRecord> {
  await using daemon = await startLighter({ config: settings, logLevel: "debug", ...programOption() });
  await daemon.stop();
  console.error("filling the store");
  const alive = await fillStore(daemon.root, "stored", options);
  await daemon.start();
  const idleFor = (ms: number): Promise<Sample> => {
    const until = performance.now() + ms;
    return sampleUntil(daemon, () => performance.now() > until);
  };
  await idleFor(2000);
  const before = await pssMegabytes(daemon.pid);
  const ratios = { read: [] as number[], write: [] as number[] };
  // The machine may be busier or quieter than a moment ago: each collection is compared with what came right before and after.
  let quiet = await idleFor(idleMs);
  for (let round = 0; round < options.rounds; round++) {
    const { sample, seconds } = await whileCollecting(daemon);
    const memory = `PSS ${before.toFixed(0)} -> ${(await pssMegabytes(daemon.pid)).toFixed(0)} MB`;
    const after = await idleFor(idleMs);
    console.error(`\na collection ${round === 0 ? "with work" : "without"}: ${seconds.toFixed(1)} s, ${memory}`);
    for (const way of ["read", "write"] as const) {
      const ratio =
        describe(`${way}s, collecting`, sample[way]) / describe(`${way}s, idle`, [...quiet[way], ...after[way]]);
      ratios[way].push(ratio);
      console.error(`p99 of ${way}s, collecting to idle: ${ratio.toFixed(2)}`);
    }
    quiet = after;
  }
  await checkWhatIsLeft(daemon, alive);
  return { options, ratios };
}

async function checkWhatIsLeft(daemon: Daemon, alive: number): Promise<void> {
  await using connection = await connectGrpc({ path: daemon.address });
  let left = 0;
  for await (const { info } of connection.client(Content, { namespace: "stored" }).list({})) left += info.length;
  if (left !== alive) throw new Error(`${left} blobs are left, not ${alive}`);
  for (const line of (await daemon.logs()).split("\n")) if (line.includes("garbage collected")) console.error(line);
}

/** The page as Markdown. */
export function latencyTable({ options, ratios }: LatencyRecord): string {
  const rows = (["read", "write"] as const).map((way) => {
    const [first = Number.NaN, ...others] = ratios[way];
    const rest = others.length === 0 ? undefined : summarize(others).median;
    const worst = Math.max(first, rest ?? 0);
    const cells = [`${way}s`, first.toFixed(2), rest?.toFixed(2) ?? "", `≤ ${aim}: ${worst <= aim ? "met" : "missed"}`];
    return `| ${cells.join(" | ")} |`;
  });
  return [
    `The p99 of calls while ${options.blobs} blobs and ${options.snapshots} snapshots are collected, over that of an idle daemon.`,
    "",
    "| calls | half of it is removed | nothing is removed | aim |",
    "| --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

/**
 * Collects, and calls meanwhile: one collection after the other without a pause, until there are calls enough for a p99
 * that a single one does not decide.
 */
async function whileCollecting(daemon: Daemon): Promise<{ readonly sample: Sample; readonly seconds: number }> {
  await using connection = await connectGrpc({ path: daemon.address });
  const leases = connection.client(Leases, { namespace: "stored" });
  const start = performance.now();
  let [collections, done] = [0, false];
  const collecting = (async () => {
    while (performance.now() - start < idleMs) {
      await leases.create({ id: "trigger" });
      await leases.delete({ id: "trigger", sync: true });
      collections += 1;
    }
  })().finally(() => {
    done = true;
  });
  const sample = await sampleUntil(daemon, () => done);
  await collecting;
  return { sample, seconds: (performance.now() - start) / 1000 / collections };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      blobs: { type: "string", default: "100000" },
      snapshots: { type: "string", default: "20000" },
      rounds: { type: "string", default: "5" },
    },
  });
  const [blobs, snapshots, rounds] = [Number(values.blobs), Number(values.snapshots), Number(values.rounds)];
  console.log(`\n${latencyTable(await benchLatency({ blobs, snapshots, rounds }))}`);
}
