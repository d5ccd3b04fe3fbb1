import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";

/** How an image comes in: from a registry, from an archive, or as a record that a client makes of content it brought. */
export type WayIn = "pull" | "import" | "create";

export interface Judgement {
  readonly ok: boolean;
  readonly reason: string;
}

/** Judges images by name and what they point to. Source: containerd pkg/imageverifier/image_verifier.go. */
export interface ImageVerifier {
  /** Whether it judges images that come in that way. */
  judges(way: WayIn): boolean;
  /** Errors: what kept it from judging, which blocks the image as well. */
  verify(ctx: Ctx, name: string, descriptor: Descriptor): Promise<Judgement>;
}

/** All verifiers together. */
export interface ImageVerifiers {
  /** Errors: unknown, with containerd's texts, when one says no or does not answer. */
  verify(ctx: Ctx, way: WayIn, name: string, descriptor: Descriptor): Promise<void>;
}
