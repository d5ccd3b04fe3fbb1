import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import type { PlatformMatcher } from "../../lib/platforms.ts";
import type { Differ } from "../diff/index.ts";
import type { Snapshotter } from "../snapshots/index.ts";

/** Where images of some platforms are unpacked to, and by what. */
export interface UnpackTarget {
  readonly platform: PlatformMatcher;
  readonly snapshotter: Snapshotter;
  /** Whether a snapshot can be given its parent when it is committed, so that layers unpack in any order. */
  readonly rebases: boolean;
  readonly differ: Differ;
  /** The only media type of configs that this is for; any when left out. */
  readonly configType?: string | undefined;
  /** Media types that are taken for layers beside the usual ones. */
  readonly layerTypes?: readonly string[] | undefined;
}

/** Follows a layer's file while it arrives in the content store. */
export interface LayerTee {
  /**
   * They are to come, after as many that are there already; again when all begins anew. `file` is where they lie until the
   * layer is whole, if that can be told.
   */
  begin(offset: number, file: string | undefined): void;
  /** So many bytes are there now. Errors: what went wrong with the bytes so far, which ends the fetching. */
  grown(sizeBytes: number): void;
}

/** What an image's parts are got from. */
export interface LayerSource {
  /**
   * Brings a layer into the content store; done at once when it is there. Called once a layer.
   * Shape: `tee` is told of the layer's bytes as they come, or of none.
   */
  fetch(ctx: Ctx, layer: Descriptor, tee: LayerTee | undefined): Promise<void>;
}

/** One manifest, whose config is in the content store. */
export interface UnpackableImage {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** How a layer is coming along. */
export interface UnpackProgress {
  /** So many of the layer's bytes went to the unpacking. */
  extracting?(layer: Descriptor, offset: number): void;
  /** It is a snapshot now, or was one before. */
  extracted?(layer: Descriptor): void;
}

/** Turns images into snapshots. */
export interface Unpacker {
  /**
   * Unpacks an image into the first target that is for its platform; without one its layers are only fetched.
   * Shape: true when it was unpacked. Layers that are snapshots already are not fetched, up to the first one that is none.
   * Errors: what fetching says; invalidArgument (layers and config disagree); a layer's failure names it and the entry.
   * Effects: every snapshot is on disk before it is committed. A failure ends the
   * others; what was done below the failed layer stays, the rest is removed.
   */
  unpack(
    ctx: Ctx,
    image: UnpackableImage,
    targets: readonly UnpackTarget[],
    source: LayerSource,
    progress?: UnpackProgress,
  ): Promise<boolean>;
}
