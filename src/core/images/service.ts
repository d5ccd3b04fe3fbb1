import { type Timestamp } from "@bufbuild/protobuf/wkt";
import { type Image, Images } from "../../gen/containerd/services/images/v1/images_pb.ts";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { ImageStore } from "./images.ts";

export interface ImagesServiceOptions {
  readonly store: ImageStore;
  /** Collects garbage and waits for it: what a synchronous delete asks for. */
  readonly collectGarbage?: ((ctx: Ctx) => Promise<void>) | undefined;
  /** Judges what a client wants a name to stand for; throws when it may not. */
  readonly verify?: ((ctx: Ctx, name: string, target: Descriptor) => Promise<void>) | undefined;
}

/** The gRPC face of the images. */
export function createImagesService({ store, collectGarbage, verify }: ImagesServiceOptions): ServiceDefinition {
  return defineService(Images, {
    get: (ctx, { name }) => ({ image: store.get(ctx, name) }),
    list: (ctx, { filters }) => ({ images: [...store.list(ctx, filters)] }),
    create: async (ctx, { image, sourceDateEpoch }) => {
      const wanted = named(image);
      if (wanted.target !== undefined) await verify?.(ctx, wanted.name, wanted.target);
      return { image: await store.create(ctx, wanted, { sourceDate: dateOf(sourceDateEpoch) }) };
    },
    update: async (ctx, { image, updateMask, sourceDateEpoch }) => {
      const wanted = named(image);
      const paths = updateMask?.paths ?? [];
      const setsTarget = paths.length === 0 || paths.includes("target");
      if (setsTarget && wanted.target !== undefined) await verify?.(ctx, wanted.name, wanted.target);
      return { image: await store.update(ctx, wanted, { paths, sourceDate: dateOf(sourceDateEpoch) }) };
    },
    delete: async (ctx, { name, sync, target }) => {
      await store.delete(ctx, name, { targetDigest: target?.digest });
      if (sync) await collectGarbage?.(ctx);
      return {};
    },
  });
}

function named(image: Image | undefined): Image {
  if (image === undefined || image.name === "") throw new FaultError("invalidArgument", "Image.Name required");
  return image;
}

function dateOf(timestamp: Timestamp | undefined): Instant | undefined {
  return timestamp === undefined ? undefined : Instant.of(timestamp);
}
