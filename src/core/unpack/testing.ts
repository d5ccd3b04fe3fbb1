import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { type Digest, digestOf } from "../../lib/digest.ts";
import { isFault } from "../../lib/faults.ts";
import { silentLogger } from "../../lib/log.ts";
import { ociConfig, ociManifest } from "../../lib/media-types.ts";
import { allPlatforms } from "../../lib/platforms.ts";
import { createKernel } from "../../sys/index.ts";
import { type ContentStore, contentSchema, openContentStore } from "../content/index.ts";
import { createDiffer, type Differ } from "../diff/index.ts";
import { createExchange } from "../events/index.ts";
import { createImageStore, type ImageStore, imagesSchema } from "../images/index.ts";
import { createLeaseManager, type LeaseManager, leasesSchema } from "../leases/index.ts";
import { openMetadata } from "../metadata/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import {
  openNativeSnapshotter,
  openOverlaySnapshotter,
  type Snapshotter,
  snapshotsSchema,
} from "../snapshots/index.ts";
import type { UnpackTarget } from "./index.ts";

/** The stores that images are kept in, real ones in a folder of their own. */
export interface ImageBed extends AsyncDisposable {
  readonly folder: string;
  readonly ctx: Ctx;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly leases: LeaseManager;
  readonly differ: Differ;
  readonly overlay: UnpackTarget;
  readonly native: UnpackTarget;
}

export async function createImageBed(): Promise<ImageBed> {
  await using made = new AsyncDisposableStack();
  const folder = fs.mkdtempSync(join(tmpdir(), "lighter-images-"));
  made.defer(() => fs.rmSync(folder, { recursive: true, force: true }));
  const schemas = [namespacesSchema, leasesSchema, contentSchema, snapshotsSchema, imagesSchema];
  const metadata = made.use(openMetadata({ path: join(folder, "meta.db"), schemas }));
  const [exchange, leases] = [createExchange({ log: silentLogger }), createLeaseManager({ metadata })];
  const given = { metadata, exchange, leases, log: silentLogger };
  const content = made.use(await openContentStore({ root: join(folder, "content"), ...given }));
  const overlay = made.use(await openOverlaySnapshotter({ root: join(folder, "overlay"), ...given }));
  const native = made.use(await openNativeSnapshotter({ root: join(folder, "native"), ...given }));
  const limits = { maxEntries: 100_000, maxBytes: 1 << 30 };
  const differ = createDiffer({ content, root: join(folder, "mounts"), limits });
  const target = (snapshotter: Snapshotter, rebases: boolean): UnpackTarget => {
    return { platform: allPlatforms, snapshotter, rebases, differ };
  };
  const owned = made.move();
  return {
    folder,
    ctx: createCtx({ namespace: "testing" }),
    content,
    images: createImageStore(given),
    leases,
    differ,
    overlay: target(overlay, true),
    native: target(native, false),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** An image that is not in any store yet. */
export interface MadeImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
}

/** Makes an image of these layers, compressed with gzip. */
export function imageOf(tars: readonly Uint8Array[], platform = { os: "linux", architecture: "amd64" }): MadeImage {
  const blobs = new Map<Digest, Uint8Array>();
  const add = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, sizeBytes: bytes.length };
  };
  const layers = tars.map((tar) => add("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar)));
  const rootfs = { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) };
  const config = add(ociConfig, Buffer.from(JSON.stringify({ ...platform, config: {}, rootfs })));
  const pointer = ({ mediaType, digest, sizeBytes }: Descriptor): object => ({ mediaType, digest, size: sizeBytes });
  const document = { schemaVersion: 2, mediaType: ociManifest, config: pointer(config), layers: layers.map(pointer) };
  const manifest = add(ociManifest, Buffer.from(JSON.stringify(document)));
  return { manifest: { ...manifest, platform }, config, layers, blobs };
}

/** Puts a blob into the content store; one that is there is fine. */
export async function putBlob({ content, ctx }: ImageBed, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes);
  try {
    await using writer = await content.writer(ctx, { ref: `put-${digest}`, expected: digest });
    await writer.write(bytes);
    await writer.commit(ctx, {});
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw error;
  }
  return digest;
}

/** Mounts a snapshot's view, hands its folder over, and takes it away again. */
export async function lookInto<T>(
  bed: ImageBed,
  target: UnpackTarget,
  name: string,
  look: (folder: string) => T,
): Promise<T> {
  const kernel = createKernel();
  const key = `look-${crypto.randomUUID()}`;
  const folder = fs.mkdtempSync(join(bed.folder, "look-"));
  const [mount] = await target.snapshotter.view(bed.ctx, key, name);
  if (mount === undefined) throw new Error("a view without a mount");
  if (mount.type === "bind") kernel.mount(mount.source, folder, "", 0x1000, "");
  else kernel.mount("overlay", folder, "overlay", 0, mount.options.filter((option) => option !== "ro").join(","));
  try {
    return look(folder);
  } finally {
    kernel.unmount(folder, 0);
    await target.snapshotter.remove(bed.ctx, key);
  }
}
