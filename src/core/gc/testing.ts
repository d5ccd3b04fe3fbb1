import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { ImageSchema } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { DescriptorSchema } from "../../gen/containerd/types/descriptor_pb.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { silentLogger } from "../../lib/log.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import {
  type ContainerStore,
  collectableContainers,
  containersSchema,
  createContainerStore,
} from "../containers/index.ts";
import { contentSchema, type OwnContentStore, openContentStore } from "../content/index.ts";
import { createExchange, type Exchange } from "../events/index.ts";
import { collectableImages, createImageStore, type ImageStore, imagesSchema } from "../images/index.ts";
import { collectableLeases, createLeaseManager, type LeaseManager, leasesSchema } from "../leases/index.ts";
import { type Metadata, openMetadata } from "../metadata/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import {
  type OwnSnapshotter,
  openNativeSnapshotter,
  openOverlaySnapshotter,
  snapshotsSchema,
  snapshotsToCollect,
} from "../snapshots/index.ts";
import type { Collectable } from "./gc.ts";
import { createGarbageCollector } from "./index.ts";

export type Labels = Readonly<Record<string, string>>;

/** Every room that garbage collection looks at, on a real disk, without a daemon. */
export interface CollectedRooms extends AsyncDisposable {
  readonly root: string;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly images: ImageStore;
  readonly content: OwnContentStore;
  readonly overlay: OwnSnapshotter;
  readonly native: OwnSnapshotter;
  readonly containers: ContainerStore;
  readonly tables: readonly Collectable[];
  readonly gc: ReturnType<typeof createGarbageCollector>;
}

/** Never by itself: tests say when. */
const onDemand = {
  pauseThreshold: 0.02,
  deletionThreshold: 1_000_000,
  mutationThreshold: 0,
  scheduleDelayMs: 0,
  startupDelayMs: 0,
};

export async function openRooms(root: string = mkdtempSync(join(tmpdir(), "lighter-gc-"))): Promise<CollectedRooms> {
  await using stack = new AsyncDisposableStack();
  const schemas = [namespacesSchema, leasesSchema, containersSchema, imagesSchema, contentSchema, snapshotsSchema];
  const log = silentLogger;
  const metadata = stack.use(openMetadata({ path: join(root, "meta.sqlite"), schemas }));
  const exchange = createExchange({ log });
  const leases = createLeaseManager({ metadata });
  const images = createImageStore({ metadata, exchange, leases });
  const containers = createContainerStore({ metadata, exchange });
  const own = { metadata, exchange, leases, log };
  const content = stack.use(await openContentStore({ ...own, root: join(root, "content") }));
  const overlay = stack.use(await openOverlaySnapshotter({ ...own, root: join(root, "overlayfs") }));
  const native = stack.use(await openNativeSnapshotter({ ...own, root: join(root, "native") }));
  const tables = [
    collectableLeases,
    collectableContainers,
    collectableImages(exchange),
    snapshotsToCollect([overlay, native], { metadata, exchange, log }),
    ...content.collectables,
  ];
  const gc = stack.use(createGarbageCollector({ metadata, tables, log, config: onDemand }));
  const owned = stack.move();
  return {
    root,
    metadata,
    exchange,
    leases,
    images,
    content,
    overlay,
    native,
    containers,
    tables,
    gc,
    [Symbol.asyncDispose]: async () => {
      await owned.disposeAsync();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export const testing: Ctx = createCtx({ namespace: "testing" });

/** Writes a blob. */
export async function putBlob(
  rooms: CollectedRooms,
  text: string,
  labels: Labels = {},
  ctx: Ctx = testing,
): Promise<Digest> {
  await using writer = await rooms.content.writer(ctx, { ref: `put-${text.slice(0, 40)}` });
  await writer.write(new TextEncoder().encode(text));
  return await writer.commit(ctx, { labels: new Map(Object.entries(labels)) });
}

/** Names an image. */
export async function putImage(
  rooms: CollectedRooms,
  name: string,
  digest: string,
  labels: Labels = {},
  ctx: Ctx = testing,
): Promise<void> {
  const target = create(DescriptorSchema, { digest, size: 1n, mediaType: "application/vnd.oci.image.index.v1+json" });
  await rooms.images.create(ctx, create(ImageSchema, { name, target, labels: { ...labels } }));
}

/** Makes a container on an overlay snapshot, which need not be there. */
export async function putContainer(
  rooms: CollectedRooms,
  id: string,
  snapshotKey: string,
  labels: Labels = {},
  ctx: Ctx = testing,
): Promise<void> {
  const spec = anyOfJson(ociTypeUrls.spec, { ociVersion: "1.0.2" });
  const given = { id, runtime: { name: "io.containerd.runc.v2" }, spec, snapshotter: "overlayfs", snapshotKey };
  await rooms.containers.create(ctx, create(ContainerSchema, { ...given, labels: { ...labels } }));
}

/** A committed overlay layer. */
export async function putLayer(
  rooms: CollectedRooms,
  name: string,
  parent = "",
  labels: Labels = {},
  ctx: Ctx = testing,
): Promise<void> {
  await rooms.overlay.prepare(ctx, `${name}-key`, parent);
  await rooms.overlay.commit(ctx, name, `${name}-key`, { labels: new Map(Object.entries(labels)) });
}
