import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { ImageSchema } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { createCtx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { descriptorJson } from "../../lib/descriptor.ts";
import type { Digest } from "../../lib/digest.ts";
import { digestOf } from "../../lib/digest.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { ociIndex } from "../../lib/media-types.ts";
import { createSlots } from "../../lib/slots.ts";
import { TarReader } from "../../lib/tar/index.ts";
import { tarOf } from "../../lib/tar/testing.ts";
import type { ByteSink } from "../streaming/index.ts";
import { createUnpacker } from "../unpack/index.ts";
import { createImageBed, type ImageBed, imageOf, lookInto, type MadeImage, putBlob } from "../unpack/testing.ts";
import type { ImageVerifiers } from "../verifiers/index.ts";
import { createTransferrer, type StoreEndpoint, type TransferProgress, type Transferrer } from "./index.ts";
import type { ExportEndpoint, ImportEndpoint } from "./transfer.ts";

const requiresRoot = process.getuid?.() === 0 ? describe : describe.skip;

let bed: ImageBed;
let transferrer: Transferrer;
let blocked = "";
const asked: string[] = [];
const verifiers: ImageVerifiers = {
  verify: async (_ctx, way, name) => {
    asked.push(`${way} ${name}`);
    if (name === blocked) throw new FaultError("unknown", `${name} is blocked`);
  },
};

const uploads = createSlots(3);

beforeAll(async () => {
  bed = await createImageBed();
  transferrer = createTransferrer({
    content: bed.content,
    images: bed.images,
    leases: bed.leases,
    unpacker: createUnpacker({ content: bed.content }),
    targets: [bed.overlay],
    verifiers,
    resolverOptions: () => ({}),
    uploads: () => uploads,
    clock: systemClock,
  });
});
afterAll(() => bed[Symbol.asyncDispose]());

const store = (given: Partial<StoreEndpoint> = {}): StoreEndpoint => ({
  kind: "store",
  name: "",
  labels: new Map(),
  platforms: [],
  allMetadata: false,
  manifestLimit: 0,
  extraReferences: [],
  unpacks: [],
  ...given,
});
const prefix = (name: string, given: object = {}) => ({
  name,
  isPrefix: true,
  allowOverwrite: false,
  addDigest: false,
  skipNamedDigest: false,
  ...given,
});

async function* pieces(bytes: Uint8Array, size = 5000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
const archiveSource = (bytes: Uint8Array, given: Partial<ImportEndpoint> = {}): ImportEndpoint => ({
  kind: "import",
  bytes: pieces(bytes),
  mediaType: "",
  forceCompress: false,
  ...given,
});

function archiveSink(given: Partial<ExportEndpoint> = {}): ExportEndpoint & { taken(): Buffer; closed(): boolean } {
  const parts: Uint8Array[] = [];
  let closed = false;
  const sink: ByteSink = {
    write: async (bytes) => void parts.push(new Uint8Array(bytes)),
    close: () => {
      closed = true;
    },
  };
  return {
    kind: "export",
    sink,
    mediaType: "",
    platforms: [],
    allPlatforms: false,
    skipCompatibilityManifest: false,
    skipNonDistributable: false,
    ...given,
    taken: () => Buffer.concat(parts),
    closed: () => closed,
  };
}

/** An OCI layout's archive. */
function layoutOf(manifests: readonly Descriptor[], blobs: Iterable<readonly [Digest, Uint8Array]>): Buffer {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
  const index = JSON.stringify({ schemaVersion: 2, manifests: manifests.map(descriptorJson) });
  return tarOf([
    { name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
    ...[...blobs].map(([digest, bytes]) => ({ name: `blobs/sha256/${digest.slice(7)}`, data: text(bytes) })),
    { name: "index.json", data: index },
  ]);
}

const named = (descriptor: Descriptor, name: string): Descriptor => ({
  ...descriptor,
  annotations: new Map([["io.containerd.image.name", name]]),
});

/** What docker save writes, its layers plain. */
function dockerArchive(tag: string, layer: Uint8Array): Buffer {
  const rootfs = { type: "layers", diff_ids: [digestOf(layer)] };
  const config = JSON.stringify({ os: "linux", architecture: "amd64", rootfs });
  const entries = [{ Config: "c.json", RepoTags: [tag], Layers: ["l1/layer.tar", "l2/layer.tar"] }];
  return tarOf([
    { name: "l1/layer.tar", data: Buffer.from(layer).toString("latin1") },
    { name: "l1/VERSION", data: "1.0" },
    { name: "l2/layer.tar", kind: "symlink", linkName: "../l1/layer.tar" },
    { name: "c.json", data: config },
    { name: "manifest.json", data: JSON.stringify(entries) },
  ]);
}

let count = 0;
const freshImage = (platform?: { os: string; architecture: string }): MadeImage =>
  imageOf([tarOf([{ name: "file", data: `image ${count++}` }]), tarOf([{ name: "other", data: "x" }])], platform);

async function failureOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function membersOf(archive: Uint8Array): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  let name = "";
  const parts: Buffer[] = [];
  const reader = new TarReader({
    entry: (entry) => {
      ({ name } = entry);
    },
    data: (bytes) => void parts.push(Buffer.from(bytes)),
    end: () => void found.set(name, Buffer.concat(parts.splice(0))),
  });
  reader.push(archive);
  reader.finish();
  return found;
}

requiresRoot("import", () => {
  test.each([
    ["a plain layout", (bytes: Buffer) => bytes],
    ["gzip", (bytes: Buffer) => gzipSync(bytes)],
    ["zstd", (bytes: Buffer) => zstdCompressSync(bytes)],
  ])("takes %s, names and unpacks the image", async (_what, pack) => {
    const image = freshImage();
    const name = `lighter.test/imported:${count}`;
    const archive = pack(layoutOf([named(image.manifest, name)], image.blobs));
    const told: TransferProgress[] = [];
    const unpacks = [{ platform: { os: "linux", architecture: "amd64" }, snapshotter: "overlayfs" }];
    const destination = store({ extraReferences: [prefix("lighter.test/imported")], unpacks });
    await transferrer.transfer(bed.ctx, archiveSource(archive), destination, (progress) => told.push(progress));
    expect(bed.images.get(bed.ctx, name).target?.digest).toBe(image.manifest.digest);
    const { labels } = bed.content.info(bed.ctx, image.config.digest);
    const top = labels.get("containerd.io/gc.ref.snapshot.overlayfs") ?? "";
    expect(await lookInto(bed, bed.overlay, top, (folder) => Bun.file(`${folder}/other`).size)).toBe(1);
    const events = told.map(({ event }) => event);
    expect([events[0], events.at(-1)]).toEqual(["Importing", "Completed import"]);
    expect(events).toContain("extracted");
    expect(told.find(({ event }) => event === "saved")?.name).toBe(name);
    expect(asked).toContain(`import ${name}`);
    expect(bed.leases.list(bed.ctx, [])).toEqual([]);
  });

  test("is refused when it is to be unpacked to where nothing is, as one that names some place more is not", async () => {
    const image = freshImage();
    const name = `lighter.test/elsewhere:${count}`;
    const archive = layoutOf([named(image.manifest, name)], image.blobs);
    const platform = { os: "linux", architecture: "amd64" };
    const to = (...snapshotters: string[]): StoreEndpoint =>
      store({
        extraReferences: [prefix("lighter.test/elsewhere")],
        unpacks: snapshotters.map((snapshotter) => ({ platform, snapshotter })),
      });
    const refused = transferrer.transfer(bed.ctx, archiveSource(archive), to("native", "none"));
    expect(await refused.then(() => "", messageOf)).toBe(
      "unable to initialize unpacker: no unpack platforms defined: invalid argument",
    );
    expect(() => bed.images.get(bed.ctx, name)).toThrow("not found");
    await transferrer.transfer(bed.ctx, archiveSource(archive), to("native", "overlayfs"));
    expect(bed.images.get(bed.ctx, name).target?.digest).toBe(image.manifest.digest);
  });

  test("takes what another namespace has already", async () => {
    const image = freshImage();
    const name = `lighter.test/twice:${count}`;
    const archive = layoutOf([named(image.manifest, name)], image.blobs);
    for (const namespace of ["testing", "other", "testing"]) {
      const ctx = createCtx({ namespace });
      await transferrer.transfer(
        ctx,
        archiveSource(archive),
        store({ extraReferences: [prefix("lighter.test/twice")] }),
      );
      expect(bed.images.get(ctx, name).target?.digest).toBe(image.manifest.digest);
      for (const { digest } of [image.manifest, image.config])
        expect(bed.content.info(ctx, digest).digest).toBe(digest);
    }
  });

  test("takes docker's archive, plain or compressing its layers", async () => {
    const layer = tarOf([{ name: "file", data: `docker ${count++}` }]);
    const reference = prefix("docker.io/library/crate");
    await transferrer.transfer(
      bed.ctx,
      archiveSource(dockerArchive("crate:1", layer)),
      store({ extraReferences: [reference] }),
    );
    const plain = bed.images.get(bed.ctx, "docker.io/library/crate:1");
    const layersOf = async (digest: string): Promise<{ mediaType: string; digest: string }[]> =>
      JSON.parse(Buffer.concat(await Array.fromAsync(bed.content.read(bed.ctx, digest as Digest))).toString()).layers;
    const layerType = "application/vnd.docker.image.rootfs.diff.tar";
    const types = (await layersOf(plain.target?.digest ?? "")).map(({ mediaType }) => mediaType);
    expect(types).toEqual([layerType, layerType]);
    const other = tarOf([{ name: "file", data: `docker ${count++}` }]);
    const source = archiveSource(dockerArchive("crate:2", other), { forceCompress: true });
    await transferrer.transfer(bed.ctx, source, store({ extraReferences: [reference] }));
    const packed = await layersOf(bed.images.get(bed.ctx, "docker.io/library/crate:2").target?.digest ?? "");
    expect(packed.map(({ mediaType }) => mediaType)).toEqual([`${layerType}.gzip`, `${layerType}.gzip`]);
    const { labels } = bed.content.info(bed.ctx, packed[0]?.digest as Digest);
    expect(labels.get("containerd.io/uncompressed")).toBe(digestOf(other));
  });

  test("takes the wanted platform of several, though others are not in the archive", async () => {
    const [ours, theirs] = [freshImage(), freshImage({ os: "linux", architecture: "s390x" })];
    const document = {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [ours.manifest, theirs.manifest].map(descriptorJson),
    };
    const bytes = Buffer.from(JSON.stringify(document));
    const index = { mediaType: ociIndex, digest: digestOf(bytes), sizeBytes: bytes.length };
    const name = `lighter.test/several:${count}`;
    const archive = layoutOf([named(index, name)], [...ours.blobs, [index.digest, bytes]]);
    const partial = store({
      extraReferences: [prefix("lighter.test/several")],
      platforms: [{ os: "linux", architecture: "amd64" }],
    });
    await transferrer.transfer(bed.ctx, archiveSource(archive), partial);
    expect(bed.images.get(bed.ctx, name).target?.digest).toBe(index.digest);
    const every = { ...partial, platforms: [] };
    expect(await failureOf(() => transferrer.transfer(bed.ctx, archiveSource(archive), every))).toContain("not found");
    // Exported again, it is as partial as it came.
    const sink = archiveSink();
    await transferrer.transfer(bed.ctx, store({ name }), sink);
    expect(membersOf(sink.taken()).has(`blobs/sha256/${ours.manifest.digest.slice(7)}`)).toBe(true);
  });

  test("stores further names as the references say", async () => {
    const image = freshImage();
    const archive = layoutOf([named(image.manifest, "lighter.test/ship:1")], image.blobs);
    const into = async (given: Partial<StoreEndpoint>): Promise<string[]> => {
      const before = new Set(bed.images.list(bed.ctx, []).map(({ name }) => name));
      await transferrer.transfer(bed.ctx, archiveSource(archive), store(given));
      const now = bed.images.list(bed.ctx, []).map(({ name }) => name);
      const found = now.filter((name) => !before.has(name));
      for (const name of found) await bed.images.delete(bed.ctx, name);
      // The archive's own index has no annotation that says otherwise: it gets each digested name too, as under containerd.
      return found.filter((name) => !name.includes("@") || name.endsWith(image.manifest.digest));
    };
    const digested = `@${image.manifest.digest}`;
    expect(await into({ extraReferences: [prefix("lighter.test/boat")] })).toEqual([]);
    expect(await into({ extraReferences: [prefix("lighter.test/boat", { allowOverwrite: true })] })).toEqual([
      "lighter.test/ship:1",
    ]);
    expect(await into({ extraReferences: [prefix("lighter.test/boat", { addDigest: true })] })).toEqual([
      `lighter.test/boat${digested}`,
    ]);
    expect(await into({ extraReferences: [prefix("lighter.test/ship", { addDigest: true })] })).toEqual([
      "lighter.test/ship:1",
      `lighter.test/ship${digested}`,
    ]);
    expect(
      await into({ extraReferences: [prefix("lighter.test/ship", { addDigest: true, skipNamedDigest: true })] }),
    ).toEqual(["lighter.test/ship:1"]);
    const both = await into({ name: "lighter.test/fleet:1", extraReferences: [prefix("lighter.test/ship")] });
    expect(both).toEqual(["lighter.test/fleet:1", "lighter.test/ship:1"]);
  });

  test("stores nothing of what a verifier blocks", async () => {
    const image = freshImage();
    blocked = "lighter.test/evil:1";
    const archive = layoutOf([named(image.manifest, blocked)], image.blobs);
    const destination = store({ extraReferences: [prefix("lighter.test/evil")] });
    expect(await failureOf(() => transferrer.transfer(bed.ctx, archiveSource(archive), destination))).toBe(
      `${blocked} is blocked`,
    );
    expect(() => bed.images.get(bed.ctx, blocked)).toThrow("not found");
  });

  const bad = layoutOf([], []);
  test.each([
    ["what is no archive", Buffer.from("this is not an archive".repeat(100)), "archive is broken"],
    ["an empty archive", tarOf([]), "unrecognized image format"],
    ["an archive cut short", bad.subarray(0, 520), "archive is broken"],
    ["gzip cut short", gzipSync(bad).subarray(0, 60), "decompress gzip"],
    [
      "a layout of another version",
      tarOf([{ name: "oci-layout", data: '{"imageLayoutVersion":"9"}' }]),
      "unsupported OCI version 9",
    ],
    [
      "a wrong blob",
      tarOf([{ name: `blobs/sha256/${"0".repeat(64)}`, data: "x" }]),
      `failed to ingest "blobs/sha256/0000`,
    ],
    ["a document that is none", tarOf([{ name: "manifest.json", data: "{" }]), "manifest.json is not JSON"],
    [
      "a config that is not there",
      tarOf([{ name: "manifest.json", data: '[{"Config":"../../etc/passwd"}]' }]),
      "archive lacks",
    ],
  ])("refuses %s", async (_what, archive, why) => {
    const before = bed.content.list(bed.ctx, []).length;
    expect(await failureOf(() => transferrer.transfer(bed.ctx, archiveSource(archive), store()))).toContain(why);
    expect(bed.content.list(bed.ctx, []).length).toBe(before);
    expect(await bed.content.listStatuses(bed.ctx, [])).toEqual([]);
  });

  test("refuses a manifest that is an index as well", async () => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [], config: {}, layers: [] }));
    const index = { mediaType: ociIndex, digest: digestOf(bytes), sizeBytes: bytes.length };
    const archive = layoutOf([named(index, "lighter.test/two:1")], [[index.digest, bytes]]);
    expect(await failureOf(() => transferrer.transfer(bed.ctx, archiveSource(archive), store()))).toContain(
      "media-type: expected index but found manifest",
    );
  });
});

requiresRoot("export", () => {
  const exported = async (
    image: MadeImage,
    name: string,
    given: Partial<ExportEndpoint> = {},
  ): Promise<Map<string, Buffer>> => {
    const archive = layoutOf([named(image.manifest, name)], image.blobs);
    await transferrer.transfer(
      bed.ctx,
      archiveSource(archive),
      store({ extraReferences: [prefix(name.replace(/:.*/, ""))] }),
    );
    const sink = archiveSink(given);
    await transferrer.transfer(bed.ctx, store({ name }), sink);
    expect(sink.closed()).toBe(true);
    return membersOf(sink.taken());
  };

  test("writes what import takes again, for docker too", async () => {
    const image = freshImage();
    const members = await exported(image, "lighter.test/out:1");
    for (const [digest, bytes] of image.blobs) {
      expect(members.get(`blobs/sha256/${digest.slice(7)}`)?.equals(Buffer.from(bytes))).toBe(true);
    }
    expect([...members.keys()]).toEqual([...members.keys()].toSorted());
    const [docker] = JSON.parse(members.get("manifest.json")?.toString() ?? "");
    expect(docker.RepoTags).toEqual(["lighter.test/out:1"]);
    expect(members.has(docker.Config)).toBe(true);
    expect(docker.Layers.every((name: string) => members.has(name))).toBe(true);
    const [listed] = JSON.parse(members.get("index.json")?.toString() ?? "").manifests;
    expect(listed.annotations).toEqual({
      "io.containerd.image.name": "lighter.test/out:1",
      "org.opencontainers.image.ref.name": "1",
    });
  });

  test("leaves docker's list out when asked to", async () => {
    const members = await exported(freshImage(), "lighter.test/bare:1", { skipCompatibilityManifest: true });
    expect(members.has("manifest.json")).toBe(false);
  });

  test("tells of a blob that is not there", async () => {
    const image = freshImage();
    await exported(image, "lighter.test/hole:1");
    await bed.content.delete(bed.ctx, image.layers[0]?.digest as Digest);
    const message = await failureOf(() =>
      transferrer.transfer(bed.ctx, store({ name: "lighter.test/hole:1" }), archiveSink()),
    );
    expect(message).toContain("not found");
  });
});

requiresRoot("transfer", () => {
  test("tags", async () => {
    const image = freshImage();
    const digest = await putBlob(bed, image.blobs.get(image.manifest.digest) as Uint8Array);
    const target = {
      mediaType: image.manifest.mediaType,
      digest,
      size: BigInt(image.manifest.sizeBytes),
      annotations: {},
    };
    await bed.images.create(bed.ctx, create(ImageSchema, { name: "a:1", target }));
    await transferrer.transfer(
      bed.ctx,
      store({ name: "a:1" }),
      store({ name: "b:1", labels: new Map([["deck", "lower"]]) }),
    );
    const tagged = bed.images.get(bed.ctx, "b:1");
    expect([tagged.target?.digest, tagged.labels["deck"]]).toEqual([digest, "lower"]);
  });

  test("echoes", async () => {
    const sink = archiveSink();
    await transferrer.transfer(bed.ctx, archiveSource(Buffer.from("ahoy")), sink);
    expect(sink.taken().toString()).toBe("ahoy");
  });

  test("keeps by a lease what it unpacks for a caller that has none, until it is done", async () => {
    const image = freshImage();
    for (const bytes of image.blobs.values()) await putBlob(bed, bytes);
    const held: string[] = [];
    const look = (): void => {
      for (const { id } of bed.leases.list(bed.ctx, [])) {
        held.push(...bed.leases.listResources(bed.ctx, id).map(({ type }) => type));
      }
    };
    await transferrer.unpack(bed.ctx, image, "overlayfs", { extracting: look });
    expect(held).toContain("snapshots/overlayfs");
    expect(bed.leases.list(bed.ctx, [])).toEqual([]);
  });

  test("says what it cannot do", async () => {
    const registry = { kind: "registry", reference: "r.test/a:1" } as never;
    expect(await failureOf(() => transferrer.transfer(bed.ctx, registry, archiveSink()))).toBe(
      "unable to transfer from OCI Registry (r.test/a:1) to *archive.ImageExportStream: not implemented",
    );
  });
});
