import path from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  Content,
  WriteAction,
  type WriteContentRequest,
  WriteContentRequestSchema,
} from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Images } from "../../src/gen/containerd/services/images/v1/images_pb.ts";
import { Leases } from "../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { System } from "../../src/gen/lighter/system/v1/system_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import { type Daemon, type RunResult, startLighter, writeBusyboxImage } from "../support/index.ts";
import { type Pulls, startPulls } from "./store-pulls.ts";

export interface CrashPlan {
  /** How often the daemon is killed. */
  readonly points: number;
  readonly seed: number;
  readonly report: (text: string) => void;
}

/** What was answered for, and so must be there after a crash. */
interface Promised {
  /** Blobs, and committed snapshots, by the lease that holds them. */
  readonly blobs: Map<string, string>;
  readonly layers: Map<string, string>;
  readonly images: Set<string>;
  /** Leases that nobody works under any more. */
  readonly idle: Set<string>;
}

type Chance = () => number;
type Ctr = (...words: readonly string[]) => Promise<RunResult>;

/** How many images come and go. */
const imageCount = 3;
const mostBlobBytes = 1 << 20;
const writers = 3;
/** A kill comes within so many times what a pull takes here and now. */
const pullTimes = 3;

/**
 * Pulls, imports, unpacks, writes, commits, deletes and collects, kills the daemon at random moments meanwhile, and compares what is
 * there after each start with what was answered for. Answers what is wrong, a line each.
 */
export async function crashStore(plan: CrashPlan): Promise<readonly string[]> {
  const chance = seeded(plan.seed);
  const troubles: string[] = [];
  await using daemon = await startLighter({ logLevel: "info" });
  const archives = await writeArchives(daemon);
  await using pulls = await startPulls(daemon, archives);
  const started = performance.now();
  for (const name of pulls.names) await pulls.pull(name);
  const killWithinMs = (pullTimes * (performance.now() - started)) / pulls.names.length;
  const promised: Promised = { blobs: new Map(), layers: new Map(), images: new Set(pulls.names), idle: new Set() };
  for (let point = 0; point < plan.points; point++) {
    const killed = new AbortController();
    // ctr asks a daemon that is gone again and again: it has to be ended.
    const gone = new AbortController();
    const ctr: Ctr = (...words) => daemon.ctr(words, { signal: gone.signal });
    const work = Promise.all([
      ...Array.from({ length: writers }, (_, index) =>
        keepWriting(daemon, `${point}-${index}`, promised, chance, killed.signal),
      ),
      keepImporting(ctr, archives, promised, chance, killed.signal),
      keepPulling(ctr, pulls, promised, chance, killed.signal),
      keepCollecting(daemon, promised, chance, killed.signal),
    ]);
    await Bun.sleep(20 + chance() * killWithinMs);
    killed.abort();
    await daemon.kill();
    gone.abort();
    await work;
    await daemon.start();
    const found = await compare(daemon, promised);
    for (const trouble of found) troubles.push(`after kill ${point + 1}: ${trouble}`);
    const { blobs, layers, images } = promised;
    plan.report(
      `kill ${point + 1}: ${blobs.size} blobs, ${layers.size} layers, ${images.size} images, ${found.length} troubles`,
    );
  }
  return troubles;
}

/** Waits for work until the daemon is killed under it; every other failure is one. */
async function untilKilled(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

async function keepWriting(
  daemon: Daemon,
  name: string,
  promised: Promised,
  chance: Chance,
  killed: AbortSignal,
): Promise<void> {
  let round = 0;
  await untilKilled(killed, async () => {
    await using connection = await connectGrpc({ path: daemon.address });
    const lease = `${name}-${round++}`;
    const call = { namespace: daemon.namespace, lease };
    await connection.client(Leases, { namespace: daemon.namespace }).create({ id: lease });
    const bytes = crypto.getRandomValues(new Uint8Array(1 + Math.floor(chance() * 65536)));
    const data = Buffer.alloc(Math.ceil((chance() * mostBlobBytes) / bytes.length) * bytes.length, bytes);
    const digest = await writeBlob(connection, lease, data, call);
    promised.blobs.set(digest, lease);
    const snapshots = connection.client(Snapshots, call);
    await snapshots.prepare({ snapshotter: "overlayfs", key: `${lease}-key` });
    await snapshots.commit({ snapshotter: "overlayfs", key: `${lease}-key`, name: lease });
    promised.layers.set(lease, lease);
    await snapshots.prepare({ snapshotter: "overlayfs", key: `${lease}-child`, parent: lease });
    promised.idle.add(lease);
  });
}

async function writeBlob(
  connection: ClientConnection,
  ref: string,
  data: Uint8Array<ArrayBuffer>,
  call: { readonly namespace: string; readonly lease: string },
): Promise<string> {
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;
  async function* requests(): AsyncGenerator<WriteContentRequest> {
    for (let at = 0; at < data.length; at += 256 * 1024) {
      const piece = data.subarray(at, at + 256 * 1024);
      yield create(WriteContentRequestSchema, { action: WriteAction.WRITE, ref, offset: BigInt(at), data: piece });
    }
    const total = BigInt(data.length);
    yield create(WriteContentRequestSchema, {
      action: WriteAction.COMMIT,
      ref,
      offset: total,
      total,
      expected: digest,
    });
  }
  for await (const _ of connection.client(Content, call).write(requests())) continue;
  return digest;
}

async function keepImporting(
  ctr: Ctr,
  archives: ReadonlyMap<string, string>,
  promised: Promised,
  chance: Chance,
  killed: AbortSignal,
): Promise<void> {
  await untilKilled(killed, async () => {
    const [name, file] = pick([...archives], chance);
    if (promised.images.has(name)) {
      promised.images.delete(name);
      await ctr("images", "rm", "--sync", name);
      return;
    }
    const { code } = await ctr("images", "import", file);
    if (code === 0) promised.images.add(name);
  });
}

/** What a pull had when its daemon was killed is there for the next one, which must succeed. */
async function keepPulling(
  ctr: Ctr,
  pulls: Pulls,
  promised: Promised,
  chance: Chance,
  killed: AbortSignal,
): Promise<void> {
  await untilKilled(killed, async () => {
    const name = pick(pulls.names, chance);
    if (promised.images.has(name)) {
      promised.images.delete(name);
      await ctr("images", "rm", "--sync", name);
      return;
    }
    await pulls.pull(name);
    promised.images.add(name);
  });
}

async function keepCollecting(daemon: Daemon, promised: Promised, chance: Chance, killed: AbortSignal): Promise<void> {
  await untilKilled(killed, async () => {
    await using connection = await connectGrpc({ path: daemon.address });
    const leases = connection.client(Leases, { namespace: daemon.namespace });
    await Bun.sleep(chance() * 60);
    if (promised.idle.size < writers) return;
    const id = pick([...promised.idle], chance);
    promised.idle.delete(id);
    for (const held of [promised.blobs, promised.layers]) {
      for (const [key, lease] of held) if (lease === id) held.delete(key);
    }
    await leases.delete({ id, sync: chance() < 0.7 });
  });
}

async function compare(daemon: Daemon, promised: Promised): Promise<readonly string[]> {
  await using connection = await connectGrpc({ path: daemon.address });
  const call = { namespace: daemon.namespace };
  const system = connection.client(System, call);
  const troubles: string[] = [];
  const tell = async (when: string, all: boolean): Promise<void> => {
    for (const { code, broken, path: where } of (await system.check({ deep: true })).problems) {
      if (broken || all) troubles.push(`${when}: ${code} ${where}`);
    }
  };
  await tell("at the start", false);
  await system.collectGarbage({});
  await tell("after a collection", true);
  const digests = new Set<string>();
  for await (const { info } of connection.client(Content, call).list({}))
    for (const one of info) digests.add(one.digest);
  for (const digest of promised.blobs.keys()) if (!digests.has(digest)) troubles.push(`${digest} is lost`);
  const names = new Set<string>();
  const listed = connection.client(Snapshots, call).list({ snapshotter: "overlayfs" });
  for await (const { info } of listed) for (const one of info) names.add(one.name);
  for (const name of promised.layers.keys()) if (!names.has(name)) troubles.push(`snapshot ${name} is lost`);
  const { images } = await connection.client(Images, call).list({});
  for (const name of promised.images) {
    if (!images.some((image) => image.name === name)) troubles.push(`image ${name} is lost`);
  }
  for (const line of (await daemon.ctrOk(["images", "check"])).split("\n").slice(1)) {
    const [name = ""] = line.split(/\s+/);
    if (promised.images.has(name) && !line.includes("complete")) troubles.push(`image ${name} is not whole: ${line}`);
  }
  return troubles;
}

async function writeArchives(daemon: Daemon): Promise<ReadonlyMap<string, string>> {
  const archives = new Map<string, string>();
  for (let index = 0; index < imageCount; index++) {
    const name = `lighter.test/crash:${index}`;
    archives.set(name, await writeBusyboxImage(path.join(daemon.workspace.folder, `crash-${index}.tar`), name));
  }
  return archives;
}

function pick<T>(all: readonly T[], chance: Chance): T {
  return all[Math.floor(chance() * all.length)] as T;
}

/** The same numbers for the same seed: mulberry32. */
function seeded(seed: number): Chance {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
