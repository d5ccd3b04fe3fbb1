import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { type Image, Images } from "../../gen/containerd/services/images/v1/images_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError } from "../../lib/faults.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { ImageStore } from "./images.ts";

export interface ImagesServiceOptions {
  readonly store: ImageStore;
  /** Collects garbage and waits for it: what a synchronous delete asks for. */
  readonly collectGarbage?: ((ctx: Ctx) => Promise<void>) | undefined;
}

/** The gRPC face of the images. */
export function createImagesService({ store, collectGarbage }: ImagesServiceOptions): ServiceDefinition {
  return defineService(Images, {
    get: (ctx, { name }) => ({ image: store.get(ctx, name) }),
    list: (ctx, { filters }) => ({ images: [...store.list(ctx, filters)] }),
    create: async (ctx, { image, sourceDateEpoch }) => ({
      image: await store.create(ctx, named(image), { sourceDate: dateOf(sourceDateEpoch) }),
    }),
    update: async (ctx, { image, updateMask, sourceDateEpoch }) => ({
      image: await store.update(ctx, named(image), {
        paths: updateMask?.paths ?? [],
        sourceDate: dateOf(sourceDateEpoch),
      }),
    }),
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

function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : timestampDate(timestamp);
}
