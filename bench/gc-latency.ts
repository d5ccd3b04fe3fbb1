// Measures what callers feel of a garbage collection: latencies of the API, idle and while a large store is collected.
// usage: bun bench/gc-latency.ts [--blobs 100000] [--snapshots 20000]
import { parseArgs } from "node:util";
import { Content } from "../src/gen/containerd/services/content/v1/content_pb.ts";
import { Leases } from "../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Version } from "../src/gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc } from "../src/wire/grpc/index.ts";
import { type Daemon, startLighter } from "../test/support/index.ts";
import { fillStore } from "./gc/synthetic-store.ts";
import { pssMegabytes } from "./memory.ts";

const { values } = parseArgs({
  options: { blobs: { type: "string", default: "100000" }, snapshots: { type: "string", default: "20000" } },
});

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
  console.log(
    `${name.padEnd(24)} p50 ${p50.toFixed(3)} p99 ${p99.toFixed(3)} max ${max.toFixed(3)} ms of ${times.length}`,
  );
  return p99;
}

await using daemon = await startLighter({ config: settings, logLevel: "debug" });
await daemon.stop();
console.log("filling the store");
const alive = await fillStore(daemon.root, "stored", {
  blobs: Number(values.blobs),
  snapshots: Number(values.snapshots),
});
await daemon.start();
let until = performance.now() + 2000;
await sampleUntil(daemon, () => performance.now() > until);
until = performance.now() + 8000;
const idle = await sampleUntil(daemon, () => performance.now() > until);
const before = await pssMegabytes(daemon.pid);
for (const who of ["a collection with work", "a collection without"]) {
  await using connection = await connectGrpc({ path: daemon.address });
  const leases = connection.client(Leases, { namespace: "stored" });
  await leases.create({ id: "trigger" });
  const start = performance.now();
  let over = false;
  const collected = leases.delete({ id: "trigger", sync: true }).finally(() => {
    over = true;
  });
  const during = await sampleUntil(daemon, () => over);
  await collected;
  console.log(
    `\n${who}: ${((performance.now() - start) / 1000).toFixed(1)} s, PSS ${before.toFixed(0)} -> ${(await pssMegabytes(daemon.pid)).toFixed(0)} MB`,
  );
  const reads = describe("reads, collecting", during.read) / describe("reads, idle", idle.read);
  const writes = describe("writes, collecting", during.write) / describe("writes, idle", idle.write);
  console.log(`p99 collecting to idle: reads ${reads.toFixed(2)}, writes ${writes.toFixed(2)}`);
}
await using connection = await connectGrpc({ path: daemon.address });
let left = 0;
for await (const { info } of connection.client(Content, { namespace: "stored" }).list({})) left += info.length;
console.log(left === alive ? `\n${left} blobs are left, as there should be` : `\n${left} blobs are left, not ${alive}`);
for (const line of (await daemon.logs()).split("\n")) if (line.includes("garbage collected")) console.log(line);
