import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { fakeRegistry, serveRange } from "../../src/core/remotes/testing.ts";
import { imageOf, type MadeImage } from "../../src/core/unpack/testing.ts";
import { Images } from "../../src/gen/containerd/services/images/v1/images_pb.ts";
import { Introspection } from "../../src/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Streaming } from "../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ImageStoreSchema } from "../../src/gen/containerd/types/transfer/imagestore_pb.ts";
import { OCIRegistrySchema } from "../../src/gen/containerd/types/transfer/registry_pb.ts";
import { isFault, messageOf } from "../../src/lib/faults.ts";
import { anyOf } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { type Daemon, daemonNeeds, startDaemon, testNeeding, waitFor } from "../support/index.ts";
import { packTar } from "../support/tar.ts";
import { type TransferApi, transfer } from "../support/transfer.ts";

const host = { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" };
const other = { os: "linux", architecture: "s390x" };
const noTarget = "unable to initialize unpacker: no unpack platforms defined: invalid argument";
const failureOf = (work: Promise<unknown>): Promise<string> => work.then(() => "", messageOf);
const reference = (at: string): string => `${at}/settings/box:1`;

/** An image of layers that don't compress, so that their sizes are known. */
function image(layers: number, platform = host, sizeBytes = 2000): MadeImage {
  const noise = (): Uint8Array => crypto.getRandomValues(new Uint8Array(Math.min(sizeBytes, 65_000)));
  const content = (): Uint8Array => Buffer.concat(Array.from({ length: Math.ceil(sizeBytes / 65_000) }, noise));
  return imageOf(
    Array.from({ length: layers }, (_, index) => packTar([{ path: `layer${index}`, content: content() }])),
    platform,
  );
}

interface Bed extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly api: TransferApi;
  readonly namespace: string;
  pull(at: string, more?: { readonly unpack?: readonly string[]; readonly platform?: typeof host }): Promise<void>;
  push(at: string): Promise<void>;
  /** The plugin's failure; empty when it started. */
  failure(): Promise<string>;
  snapshots(snapshotter: string): Promise<string[]>;
}

async function bed(settings: string): Promise<Bed> {
  await using stack = new AsyncDisposableStack();
  const config = `[plugins."io.containerd.transfer.v1.local"]\n${settings}\n`;
  const daemon = stack.use(await startDaemon({ config }));
  const connection = stack.use(await connectGrpc({ path: daemon.address }));
  const { namespace } = daemon;
  const api = {
    streaming: connection.client(Streaming, { namespace }),
    transfer: connection.client(Transfer, { namespace }),
  };
  const registry = (at: string) => {
    const more = { reference: reference(at), resolver: { defaultScheme: "http" } };
    return anyOf(OCIRegistrySchema, create(OCIRegistrySchema, more));
  };
  const store = (at: string, more: object) =>
    anyOf(ImageStoreSchema, create(ImageStoreSchema, { name: reference(at), ...more }));
  const owned = stack.move();
  return {
    daemon,
    api,
    namespace,
    pull: (at, { unpack = [], platform = host } = {}) => {
      const unpacks = unpack.map((snapshotter) => ({ platform, snapshotter }));
      return transfer(api, registry(at), store(at, { platforms: [platform], unpacks }));
    },
    push: (at) => transfer(api, store(at, {}), registry(at)),
    failure: async () => {
      const filters = ["type==io.containerd.transfer.v1,id==local"];
      return (await connection.client(Introspection).plugins({ filters })).plugins[0]?.initErr?.message ?? "";
    },
    snapshots: async (snapshotter) => {
      const names: string[] = [];
      try {
        for await (const { info } of connection.client(Snapshots, { namespace }).list({ snapshotter })) {
          names.push(...info.map(({ name }) => name));
        }
      } catch (error) {
        if (!isFault(error, "notFound")) throw error;
      }
      return names;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Lets requests through once as many wait as there will ever be at once, and notes how many those were. */
class Gate {
  most = 0;
  readonly #waiting: (() => void)[] = [];

  get waiting(): number {
    return this.#waiting.length;
  }

  async pass(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.most = Math.max(this.most, this.#waiting.length);
    });
  }

  open(): void {
    for (const go of this.#waiting.splice(0)) go();
  }
}

/** Opens the gate each time that so many wait, until the work is through. */
async function inRounds(gate: Gate, atOnce: number, total: number, work: Promise<unknown>): Promise<void> {
  let done = false;
  const ended = work.finally(() => {
    done = true;
  });
  ended.catch(() => {});
  for (let left = total; left > 0; left -= atOnce) {
    const wanted = Math.min(atOnce, left);
    await waitFor(`${wanted} requests at once`, () => done || gate.waiting >= wanted);
    gate.open();
  }
  // What comes beyond is let through, too: that there was nothing shows in the most that waited.
  while (!done) {
    gate.open();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
}

function serve(made: MadeImage, gate?: Gate) {
  const layers = new Set<string>(made.layers.map(({ digest }) => digest));
  return fakeRegistry(async (request, url) => {
    const name = url.pathname.split("/").at(-1) ?? "";
    const digest = name === "1" ? made.manifest.digest : name;
    const bytes = made.blobs.get(digest as never);
    if (bytes === undefined) return undefined;
    if (gate !== undefined && request.method === "GET" && layers.has(digest)) await gate.pass();
    const response = serveRange(request, new Uint8Array(bytes));
    if (url.pathname.includes("/manifests/")) response.headers.set("content-type", made.manifest.mediaType);
    response.headers.set("docker-content-digest", digest);
    return response;
  });
}

const one = (lines: string): string => `[[plugins."io.containerd.transfer.v1.local".unpack_config]]\n${lines}`;

const settingsTest = (name: string, body: () => Promise<void>): void => testNeeding(daemonNeeds(), name, body, 90_000);

describe("the settings of transfers", () => {
  settingsTest("max_concurrent_downloads bounds the layers of a pull", async () => {
    await using at = await bed("max_concurrent_downloads = 2");
    const gate = new Gate();
    await using registry = serve(image(6), gate);
    await inRounds(gate, 2, 6, at.pull(registry.host));
    expect(gate.most).toBe(2);
  });

  settingsTest("max_concurrent_uploaded_layers bounds those of a push; 0 does not", async () => {
    for (const [limit, most] of [
      [2, 2],
      [0, 7],
    ] as const) {
      await using at = await bed(`max_concurrent_uploaded_layers = ${limit}`);
      const made = image(6);
      await using source = serve(made);
      await at.pull(source.host);
      const gate = new Gate();
      await using sink = fakeRegistry(async (request, url) => {
        if (request.method === "HEAD") return undefined;
        if (request.method === "POST") {
          return new Response(null, { status: 202, headers: { location: `/v2/upload/${crypto.randomUUID()}` } });
        }
        await request.arrayBuffer();
        if (url.pathname.startsWith("/v2/upload/")) await gate.pass();
        const digest = url.searchParams.get("digest") ?? made.manifest.digest;
        return new Response(null, { status: 201, headers: { "docker-content-digest": digest } });
      });
      const images = (await connectImages(at)).images;
      const { image: pulled } = await images.client.get({ name: reference(source.host) });
      await images.client.create({ image: { ...pulled!, name: reference(sink.host) } });
      await inRounds(gate, most, 7, at.push(sink.host));
      expect(gate.most).toBe(most);
      await images.close();
    }
  });

  settingsTest("concurrent_layer_fetch_buffer asks for large layers in pieces", async () => {
    const made = image(1, host, 300_000);
    for (const [buffer, ranged] of [
      [100_000, true],
      [0, false],
      [512, false],
    ] as const) {
      await using at = await bed(`concurrent_layer_fetch_buffer = ${buffer}`);
      const ranges: string[] = [];
      const digest = made.layers[0]?.digest ?? "";
      await using registry = fakeRegistry((request, url) => {
        const range = request.headers.get("range");
        if (url.pathname.endsWith(digest) && range !== null) ranges.push(range);
        const found = made.blobs.get(
          (url.pathname.endsWith("/1") ? made.manifest.digest : url.pathname.split("/").at(-1)) as never,
        );
        if (found === undefined) return undefined;
        const response = serveRange(request, new Uint8Array(found));
        if (url.pathname.includes("/manifests/")) response.headers.set("content-type", made.manifest.mediaType);
        return response;
      });
      await at.pull(registry.host);
      expect([buffer, ranges.length > 1]).toEqual([buffer, ranged]);
    }
  });

  settingsTest("config_path is where hosts.toml is found", async () => {
    await using registry = serve(image(1));
    const folder = await fs.mkdtemp(path.join((await import("node:os")).tmpdir(), "lt-hosts-"));
    try {
      await fs.mkdir(path.join(folder, "far.test"));
      await fs.writeFile(path.join(folder, "far.test/hosts.toml"), `server = "http://${registry.host}"\n`);
      await using at = await bed(`config_path = "${folder}"`);
      await at.pull("far.test");
      expect(registry.requests.some((line) => line.startsWith("GET /v2/settings/box/blobs/"))).toBe(true);
    } finally {
      await fs.rm(folder, { recursive: true, force: true });
    }
  });

  settingsTest("unpack_config says where images are unpacked, by whom, and which ones", async () => {
    await using registry = serve(image(1));
    {
      await using at = await bed(one('platform = "linux"\nsnapshotter = "native"\ndiffer = "walking"'));
      await at.pull(registry.host, { unpack: ["native", "overlayfs"] });
      expect([(await at.snapshots("native")).length, await at.snapshots("overlayfs")]).toEqual([1, []]);
    }
    {
      // None at all: whoever asks for it is refused, and everybody else is served.
      await using at = await bed("unpack_config = []");
      expect(await failureOf(at.pull(registry.host, { unpack: ["overlayfs"] }))).toBe(noTarget);
      await at.pull(registry.host);
      expect([await at.snapshots("overlayfs"), await at.failure()]).toEqual([[], ""]);
    }
    {
      // Nothing said is overlayfs for this machine.
      await using at = await bed("");
      await at.pull(registry.host, { unpack: ["overlayfs"] });
      expect(await failureOf(at.pull(registry.host, { unpack: ["native"] }))).toBe(noTarget);
      expect(await failureOf(at.pull(registry.host, { unpack: ["none"] }))).toBe(noTarget);
      expect(await at.snapshots("overlayfs")).toHaveLength(1);
    }
  });

  settingsTest("an unpack_config for systems with a feature takes images that need it, others do not", async () => {
    const lines = 'snapshotter = "overlayfs"\ndiffer = "walking"';
    const featured = { ...host, osFeatures: ["deck"] };
    await using registry = serve(image(1, { ...host, "os.features": ["deck"] } as typeof host));
    for (const [platform, count] of [
      ["linux", 0],
      ["linux(+deck)/s390x", 1],
    ] as const) {
      await using at = await bed(one(`platform = "${platform}"\n${lines}`));
      const pulled = at.pull(registry.host, { unpack: ["overlayfs"], platform: featured });
      expect([platform, await failureOf(pulled)]).toEqual([platform, count === 0 ? noTarget : ""]);
      expect([platform, await at.failure()]).toEqual([platform, ""]);
      expect([platform, (await at.snapshots("overlayfs")).length]).toEqual([platform, count]);
    }
  });

  settingsTest("an unpack_config that can't be fails the plugin, unless it is optional", async () => {
    for (const [lines, failure] of [
      ['platform = "linux"\nsnapshotter = "none"', 'snapshotter "none": not found'],
      ['platform = "linux"\nsnapshotter = "overlayfs"\ndiffer = "none"', 'diff plugin "none": not found'],
      ['platform = "linux/a/b/c/d"\nsnapshotter = "overlayfs"', "platform configuration linux/a/b/c/d invalid"],
      ['platform = "windows"\nsnapshotter = "overlayfs"', "no matching diff plugins: not found"],
    ] as const) {
      await using at = await bed(one(lines));
      expect(await at.failure()).toContain(failure);
      if (lines.includes("windows") || lines.includes("/a/b")) continue;
      await using kind = await bed(`${one(lines)}\noptional = true`);
      expect(await kind.failure()).toBe("");
    }
  });

  settingsTest("config_type and layer_types let images of other kinds be unpacked", async () => {
    const made = image(1);
    const types = { config: "application/vnd.test.config.v1+json", layer: "application/vnd.test.layer.v1.tar+gzip" };
    const document = JSON.parse(Buffer.from(made.blobs.get(made.manifest.digest) ?? []).toString()) as {
      config: { mediaType: string };
      layers: { mediaType: string }[];
    };
    document.config.mediaType = types.config;
    expect(document.layers).toHaveLength(1);
    const bytes = Buffer.from(JSON.stringify(document));
    const { digestOf } = await import("../../src/lib/digest.ts");
    const manifest = { ...made.manifest, digest: digestOf(bytes), sizeBytes: bytes.length };
    const other: MadeImage = { ...made, manifest, blobs: new Map([...made.blobs, [manifest.digest, bytes]]) };
    await using registry = serve(other);
    const lines = 'platform = "linux"\nsnapshotter = "overlayfs"\ndiffer = "walking"';
    for (const [more, count] of [
      ["", 0],
      [`config_type = "${types.config}"`, 1],
    ] as const) {
      await using at = await bed(`[[plugins."io.containerd.transfer.v1.local".unpack_config]]\n${lines}\n${more}`);
      await at.pull(registry.host, { unpack: ["overlayfs"] });
      expect([more, (await at.snapshots("overlayfs")).length]).toEqual([more, count]);
    }
  });

  settingsTest("check_platform_supported takes no images of other architectures to unpack", async () => {
    await using registry = serve(image(1, other));
    for (const [check, count] of [
      [false, 1],
      [true, 0],
    ] as const) {
      await using at = await bed(`check_platform_supported = ${check}`);
      const pulled = at.pull(registry.host, { unpack: ["overlayfs"], platform: other });
      expect([check, await failureOf(pulled)]).toEqual([check, check ? noTarget : ""]);
      expect([check, (await at.snapshots("overlayfs")).length]).toEqual([check, count]);
    }
  });
});

async function connectImages({ daemon, namespace }: Bed) {
  const connection = await connectGrpc({ path: daemon.address });
  const client = connection.client(Images, { namespace });
  return { images: { client, close: () => connection[Symbol.asyncDispose]() } };
}
