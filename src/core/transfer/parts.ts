import { create } from "@bufbuild/protobuf";
import { type Image, ImageSchema } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { DescriptorSchema, type Descriptor as WireDescriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { parseDigest } from "../../lib/digest.ts";
import { invalidArgument, isFault, quote } from "../../lib/faults.ts";
import { formatPlatform } from "../../lib/platforms.ts";
import type { Slots } from "../../lib/slots.ts";
import type { ContentStore } from "../content/index.ts";
import type { ImageStore } from "../images/index.ts";
import type { ResolverOptions } from "../remotes/index.ts";
import type { Unpacker, UnpackTarget } from "../unpack/index.ts";
import type { ImageVerifiers, WayIn } from "../verifiers/index.ts";
import { imageNames } from "./image-references.ts";
import type { RegistryEndpoint, StoreEndpoint, UnpackRequest } from "./transfer.ts";

/** What transfers are made of. */
export interface TransferParts {
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly unpacker: Unpacker;
  /** Where images are unpacked to, by the snapshotter's name. */
  readonly targets: readonly UnpackTarget[];
  readonly verifiers: ImageVerifiers | undefined;
  readonly resolverOptions: (registry: RegistryEndpoint) => ResolverOptions;
  /** A blob is pushed while it has one of these places, whichever push it is of. */
  readonly uploads: () => Slots;
  readonly clock: Clock;
}

/** Has an image judged before it comes in. Errors: permissionDenied and others, as the verifiers say. */
export async function verifyImage(
  ctx: Ctx,
  { verifiers }: TransferParts,
  way: WayIn,
  name: string,
  descriptor: Descriptor,
): Promise<void> {
  await verifiers?.verify(ctx, way, name, descriptor);
}

/**
 * The targets that a client's requests come to; what nothing here unpacks is left out with a warning.
 * Errors: invalidArgument (there are requests, and none of them comes to anything).
 * Source: containerd core/transfer/local/pull.go, pull and getSupportedPlatform; core/unpack/unpacker.go, NewUnpacker.
 */
export function unpackTargets(
  ctx: Ctx,
  { targets }: TransferParts,
  { unpacks }: StoreEndpoint,
): readonly UnpackTarget[] {
  const found = unpacks.flatMap((request) => {
    const target = targetFor(targets, request);
    if (target !== undefined) return [target];
    const { snapshotter } = request;
    const platform = formatPlatform(request.platform);
    ctx.log.warn("unpack configuration is not supported, skipping", { platform, snapshotter });
    return [];
  });
  if (unpacks.length > 0 && found.length === 0) {
    throw invalidArgument("unable to initialize unpacker: no unpack platforms defined");
  }
  return found;
}

const defaultSnapshotter = "overlayfs";

function targetFor(
  targets: readonly UnpackTarget[],
  { platform, snapshotter }: UnpackRequest,
): UnpackTarget | undefined {
  const fitting = targets.filter((target) => target.platform.matches(platform));
  const named = fitting.find(
    (target) => target.snapshotter.name === (snapshotter === "" ? defaultSnapshotter : snapshotter),
  );
  return named ?? (snapshotter === "" ? fitting[0] : undefined);
}

/** Stores an image under its names: new ones are made, others pointed at it. Errors: notFound (no name). */
export async function saveImages(
  ctx: Ctx,
  { images, clock }: TransferParts,
  store: StoreEndpoint,
  descriptor: Descriptor,
  fromArchive: boolean,
): Promise<readonly Image[]> {
  const saved: Image[] = [];
  for (const { name, labels } of imageNames(store, descriptor, fromArchive, clock())) {
    const image = create(ImageSchema, { name, labels: Object.fromEntries(labels), target: toWire(descriptor) });
    saved.push(await saveImage(ctx, images, image));
  }
  return saved;
}

async function saveImage(ctx: Ctx, images: ImageStore, image: Image): Promise<Image> {
  for (;;) {
    try {
      return await images.create(ctx, image);
    } catch (error) {
      if (!isFault(error, "alreadyExists")) throw error;
    }
    try {
      return await images.update(ctx, image, { paths: [] });
    } catch (error) {
      // It was removed between the two.
      if (!isFault(error, "notFound")) throw error;
    }
  }
}

/** An image's target. Errors: invalidArgument when it has none that can be used. */
export function fromWire(target: WireDescriptor | undefined, name: string): Descriptor {
  if (target === undefined) throw invalidArgument(`image ${quote(name)} has no target`);
  const { mediaType, digest, size, annotations } = target;
  return {
    mediaType,
    digest: parseDigest(digest),
    sizeBytes: Number(size),
    annotations: new Map(Object.entries(annotations)),
  };
}

export function toWire({ mediaType, digest, sizeBytes, annotations }: Descriptor): WireDescriptor {
  return create(DescriptorSchema, {
    mediaType,
    digest,
    size: BigInt(sizeBytes),
    annotations: Object.fromEntries(annotations ?? []),
  });
}
