import fs from "node:fs/promises";
import path from "node:path";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Streaming } from "../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ImageStoreSchema } from "../../src/gen/containerd/types/transfer/imagestore_pb.ts";
import { ImageImportStreamSchema } from "../../src/gen/containerd/types/transfer/importexport_pb.ts";
import { OCIRegistrySchema } from "../../src/gen/containerd/types/transfer/registry_pb.ts";
import { anyOf } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { type Daemon, runOk } from "../../test/support/index.ts";
import { openStream, sendBytes, type TransferApi, transfer } from "../../test/support/transfer.ts";
import type { Harbour } from "./harbour.ts";

/** What one piece of work took on one side. */
export interface Figure {
  readonly kind: Daemon["kind"];
  readonly what: Work;
  readonly round: number;
  readonly seconds: number;
  /** Of the daemon, its children, and the client. */
  readonly cpuSeconds: number;
  /** By how much the daemon's memory grew at most. */
  readonly growthMegabytes: number;
}

/** The kinds of work, as tables name them. */
export type Work = "pull by transfer" | "pull by ctr" | "import by transfer" | "import by ctr" | "export by ctr";

const longMs = { timeoutMs: 300_000 };
const sampleMs = 50;
const pieceBytes = 256 * 1024;
const ticksPerSecond = 100;
/** Long enough for what a daemon does after it has started. */
const settleMs = 1000;

/** Does one piece of work on a daemon that has done nothing yet. */
export async function measureWork(daemon: Daemon, work: Work, harbour: Harbour, round: number): Promise<Figure> {
  const { image, folder, reference } = harbour;
  const importIt = (): Promise<unknown> => daemon.ctrOk(["images", "import", image.archive], longMs);
  if (work === "export by ctr") await importIt();
  await Bun.sleep(settleMs);
  const measure = (action: () => Promise<unknown>): Promise<Figure> => measureOne(daemon, work, round, action);
  if (work === "import by ctr") return measure(importIt);
  if (work === "pull by ctr") return measure(() => daemon.ctrOk(["images", "pull", "--plain-http", reference], longMs));
  if (work === "export by ctr") {
    const exported = path.join(folder, `out-${crypto.randomUUID()}.tar`);
    return measure(() => daemon.ctrOk(["images", "export", exported, image.name], longMs));
  }
  await using connection = await connectGrpc({ path: daemon.address });
  const defaults = { namespace: daemon.namespace };
  const api = { streaming: connection.client(Streaming, defaults), transfer: connection.client(Transfer, defaults) };
  return await measure(() => (work === "pull by transfer" ? pull(api, reference) : importArchive(api, image.archive)));
}

const any = <D extends DescMessage>(schema: D, value: MessageInitShape<D>): Any => anyOf(schema, create(schema, value));
const platform = { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" };

function pull(api: TransferApi, reference: string): Promise<void> {
  const source = any(OCIRegistrySchema, { reference, resolver: { defaultScheme: "http" } });
  const store = { name: reference, platforms: [platform], unpacks: [{ platform }] };
  return transfer(api, source, any(ImageStoreSchema, store), { onProgress: () => {} });
}

async function importArchive(api: TransferApi, archive: string): Promise<void> {
  const stream = await openStream(api.streaming, "import");
  const sending = sendBytes(stream, piecesOf(archive));
  const extraReferences = [{ name: "lighter.test/big", isPrefix: true }];
  const store = any(ImageStoreSchema, { platforms: [platform], unpacks: [{ platform }], extraReferences });
  await transfer(api, any(ImageImportStreamSchema, { stream: stream.id }), store);
  await sending;
}

/** A file's bytes, each piece in the same memory. */
async function* piecesOf(file: string): AsyncGenerator<Uint8Array> {
  await using handle = await fs.open(file);
  const buffer = Buffer.allocUnsafeSlow(pieceBytes);
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function measureOne(daemon: Daemon, what: Work, round: number, work: () => Promise<unknown>): Promise<Figure> {
  await runOk(["sync"], longMs);
  const before = await memoryOf(daemon.pid);
  let [most, done] = [before, false];
  const watching = (async (): Promise<void> => {
    while (!done) {
      most = Math.max(most, await memoryOf(daemon.pid));
      await Bun.sleep(sampleMs);
    }
  })();
  const [cpu, start] = [await cpuOf(daemon.pid), performance.now()];
  await work();
  const seconds = (performance.now() - start) / 1000;
  done = true;
  await watching;
  const cpuSeconds = (await cpuOf(daemon.pid)) - cpu;
  return { kind: daemon.kind, what, round, seconds, cpuSeconds, growthMegabytes: (most - before) / 1e6 };
}

/** The bytes of a process by its share of each page. */
async function memoryOf(pid: number): Promise<number> {
  const text = await fs.readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024;
}

/** The daemon's own, its ended children's and this process's, with its own children's. */
async function cpuOf(pid: number): Promise<number> {
  const ticks = await Promise.all(
    [String(pid), "self"].map(async (of) => {
      const text = await fs.readFile(`/proc/${of}/stat`, "utf8");
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    }),
  );
  return ticks.reduce((sum, one) => sum + one, 0) / ticksPerSecond;
}
