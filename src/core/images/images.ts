import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import type { Instant } from "../../lib/instant.ts";

export interface ImageWriteOptions {
  /** Stands for the present in the image's times, for reproducible builds. */
  readonly sourceDate?: Instant | undefined;
}

export interface ImageUpdateOptions extends ImageWriteOptions {
  /** `target`, `labels[.KEY]`, `annotations[.KEY]`; none replaces the whole image. */
  readonly paths: readonly string[];
}

export interface ImageDeleteOptions {
  /** Deletes only while the image's target has this digest. */
  readonly targetDigest?: string | undefined;
}

/** The names of images and what they point to, as the API's message; each call acts in the context's namespace. */
export interface ImageStore {
  /** Errors: notFound. */
  get(ctx: Ctx, name: string): Image;
  /** Errors: invalidArgument (a filter that doesn't parse). */
  list(ctx: Ctx, filters: readonly string[]): readonly Image[];
  /** Errors: invalidArgument, alreadyExists, notFound (the caller's lease). Effects: durable; event /images/create. */
  create(ctx: Ctx, image: Image, options?: ImageWriteOptions): Promise<Image>;
  /** Errors: notFound, invalidArgument. Effects: durable; event /images/update. */
  update(ctx: Ctx, image: Image, options: ImageUpdateOptions): Promise<Image>;
  /** Errors: notFound (also when the target is another). Effects: durable; event /images/delete. */
  delete(ctx: Ctx, name: string, options?: ImageDeleteOptions): Promise<void>;
}
