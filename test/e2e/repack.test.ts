import { describe, expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { Content, WriteAction } from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Leases } from "../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Layers } from "../../src/gen/lighter/layers/v1/layers_pb.ts";
import { digestOf } from "../../src/lib/digest.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { isFault } from "../../src/lib/faults.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import {
  collectsWhenAsked,
  connectLine,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  startDaemon,
  testNeeding,
  waitFor,
} from "../support/index.ts";
import { packTar } from "../support/tar.ts";

const types = {
  none: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
};

interface Bed extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly content: ReturnType<typeof contentOf>;
  readonly layers: ReturnType<typeof layersOf>;
  readonly leases: ReturnType<typeof leasesOf>;
  reconnect(): Promise<void>;
}

const namespace = "packing";
const lease = "hold";
const contentOf = (connection: ClientConnection) => connection.client(Content, { namespace, lease });
const layersOf = (connection: ClientConnection) => connection.client(Layers, { namespace, lease });
const leasesOf = (connection: ClientConnection) => connection.client(Leases, { namespace });

async function bed(): Promise<Bed> {
  const workspace = await createWorkspace();
  const daemon = await startDaemon({ config: collectsWhenAsked });
  const line = await connectLine(daemon);
  await leasesOf(line.connection).create({ id: lease });
  return {
    daemon,
    get content() {
      return contentOf(line.connection);
    },
    get layers() {
      return layersOf(line.connection);
    },
    get leases() {
      return leasesOf(line.connection);
    },
    reconnect: () => line.reconnect(),
    [Symbol.asyncDispose]: async () => {
      await line[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
      await workspace[Symbol.asyncDispose]();
    },
  };
}

async function put({ content }: Bed, bytes: Uint8Array): Promise<{ digest: string; size: bigint }> {
  const digest = digestOf(bytes);
  async function* requests() {
    const step = 1 << 20;
    for (let at = 0; at < bytes.length; at += step) {
      const data = bytes.slice(at, at + step);
      yield { action: WriteAction.WRITE, ref: digest, offset: BigInt(at), data };
    }
    yield { action: WriteAction.COMMIT, ref: digest, offset: BigInt(bytes.length), expected: digest };
  }
  try {
    for await (const _ of content.write(requests())) {
      // Each message has an answer.
    }
  } catch (error) {
    // Made before, by what is tested here.
    if (!isFault(error, "alreadyExists")) throw error;
  }
  return { digest, size: BigInt(bytes.length) };
}

async function read({ content }: Bed, digest: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const { data } of content.read({ digest })) parts.push(data);
  return Buffer.concat(parts);
}

const ingestsOf = ({ daemon }: Bed): string[] =>
  readdirSync(path.join(daemon.root, "io.containerd.content.v1.content/ingest"));

/** Worker processes that pack a layer anew, of this daemon. */
function workersOf({ daemon }: Bed): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      return parent === String(daemon.pid) && /repack/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    } catch {
      // It ended while it was looked at.
      return false;
    }
  });
}

/** Bytes that take a while to compress. */
const long = (): Uint8Array => {
  const bytes = Buffer.allocUnsafe(96 << 20);
  for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return packTar([{ path: "noise", content: bytes }]);
};

describe("lighter.layers.v1.Layers", () => {
  testNeeding(
    daemonNeeds(),
    "packs a layer in every way, under the caller's lease",
    async () => {
      await using at = await bed();
      const plain = packTar([{ path: "a", content: "salt".repeat(100_000) }]);
      const diffId = digestOf(plain);
      const packed = {
        none: plain,
        gzip: Bun.gzipSync(Buffer.from(plain)),
        zstd: Bun.zstdCompressSync(Buffer.from(plain)),
      };
      for (const from of ["none", "gzip", "zstd"] as const) {
        const source = await put(at, packed[from]);
        for (const to of ["none", "gzip", "zstd"] as const) {
          const layer = { ...source, mediaType: types[from], annotations: { a: "b" } };
          const answers = await Array.fromAsync(at.layers.repack({ layer, mediaType: types[to], diffId }));
          const made = answers.at(-1)?.layer;
          expect(made).toMatchObject({ mediaType: types[to], annotations: { a: "b" } });
          const bytes = new Uint8Array(await read(at, made?.digest ?? ""));
          expect([digestOf(bytes), BigInt(bytes.length)] as unknown[]).toEqual([made?.digest, made?.size]);
          const unpacked =
            to === "none" ? bytes : to === "gzip" ? Bun.gunzipSync(bytes) : Bun.zstdDecompressSync(bytes);
          expect(digestOf(unpacked)).toBe(diffId);
          const { info } = await at.content.info({ digest: made?.digest ?? "" });
          expect(info?.labels["containerd.io/uncompressed"]).toBe(diffId);
          const { resources } = await at.leases.listResources({ id: lease });
          expect(resources.map(({ id }) => id)).toContain(made?.digest ?? "");
        }
      }
      expect([(await at.content.listStatuses({})).statuses, ingestsOf(at)]).toEqual([[], []]);
    },
    90_000,
  );

  testNeeding(
    daemonNeeds(),
    "what fails leaves nothing and says why",
    async () => {
      await using at = await bed();
      const plain = packTar([{ path: "a", content: "salt" }]);
      const source = await put(at, plain);
      const ask = (layer: object, mediaType = types.zstd, diffId = ""): Promise<string> =>
        failureText(() => Array.fromAsync(at.layers.repack({ layer: { ...source, ...layer }, mediaType, diffId })));
      const other = digestOf("other");
      expect(await ask({ mediaType: types.none }, types.zstd, other)).toBe(
        `dataLoss: layer ${source.digest} unpacks to ${source.digest}, not to ${other}: data loss`,
      );
      expect(await ask({ mediaType: types.gzip })).toContain(`layer ${source.digest} is not packed as its type says`);
      const cut = await put(at, Bun.gzipSync(Buffer.from(plain)).subarray(0, 60));
      expect(await ask({ ...cut, mediaType: types.gzip })).toContain(
        `layer ${cut.digest} is not packed as its type says`,
      );
      expect(await ask({ mediaType: types.none, digest: other })).toBe(`notFound: content digest ${other}: not found`);
      expect(await ask({ mediaType: "application/json" })).toContain('media type "application/json" is no layer\'s');
      expect(await failureText(() => Array.fromAsync(at.layers.repack({ mediaType: types.none })))).toContain(
        "a layer is needed",
      );
      await waitFor("ingests to go", () => ingestsOf(at).length === 0);
      expect((await at.content.listStatuses({})).statuses).toEqual([]);
    },
    90_000,
  );

  testNeeding(
    daemonNeeds(),
    "tells how far it is, ends its worker with the call, and leaves nothing then",
    async () => {
      await using at = await bed();
      const source = await put(at, long());
      const cut = new AbortController();
      const layer = { ...source, mediaType: types.none };
      const call = async (): Promise<void> => {
        for await (const { offset } of at.layers.repack({ layer, mediaType: types.gzip }, { signal: cut.signal })) {
          expect(offset).toBeLessThan(source.size);
          expect(workersOf(at)).toHaveLength(1);
          cut.abort();
        }
      };
      expect(await failureText(call)).toStartWith("canceled");
      await waitFor("the worker to end", () => workersOf(at).length === 0);
      await waitFor("the ingest to go", () => ingestsOf(at).length === 0);
      expect((await at.content.listStatuses({})).statuses).toEqual([]);
    },
    90_000,
  );

  testNeeding(
    daemonNeeds(),
    "a daemon that dies meanwhile takes its worker along, and what was half done goes with the lease",
    async () => {
      await using at = await bed();
      const source = await put(at, long());
      const layer = { ...source, mediaType: types.none };
      const { pid } = at.daemon;
      let worker = "";
      const call = async (): Promise<void> => {
        for await (const _ of at.layers.repack({ layer, mediaType: types.gzip })) {
          worker = workersOf(at)[0] ?? "";
          process.kill(pid, "SIGKILL");
        }
      };
      expect(await failureText(call)).toStartWith("unavailable");
      expect(worker).not.toBe("");
      await waitFor("the worker to end", () =>
        fs.access(`/proc/${worker}`).then(
          () => false,
          () => true,
        ),
      );
      await at.daemon.kill();
      await at.daemon.start();
      await at.reconnect();
      await at.leases.delete({ id: lease, sync: true });
      await waitFor("the ingest to go", () => ingestsOf(at).length === 0);
      expect((await at.content.listStatuses({})).statuses).toEqual([]);
    },
    90_000,
  );
});
