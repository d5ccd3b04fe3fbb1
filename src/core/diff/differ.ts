import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import type { MountSpec } from "../snapshots/index.ts";

/** What is needed of a descriptor. */
export interface LayerDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface ApplyOptions {
  /** Brings the target's filesystem to disk before it answers. */
  readonly syncFs?: boolean | undefined;
}

export interface CompareOptions {
  /** gzip's OCI layer when left out. */
  readonly mediaType?: string | undefined;
  /** The ingest to write to; one of its own when left out. */
  readonly ref?: string | undefined;
  readonly labels?: ReadonlyMap<string, string> | undefined;
  /** No time in the layer is later. */
  readonly sourceDate?: Date | undefined;
}

/** Turns layers into trees, and what is between two trees into a layer. */
export interface Differ {
  /**
   * Applies a layer of the content store to what is mounted so.
   * Shape: answers the layer uncompressed, whose digest is the diff id.
   * Errors: notFound (no such content), invalidArgument (damaged; each names the layer and the entry), resourceExhausted.
   * Effects: a short-lived process, killed with the context; nothing stays mounted, whatever happens.
   */
  apply(
    ctx: Ctx,
    layer: LayerDescriptor,
    mounts: readonly MountSpec[],
    options?: ApplyOptions,
  ): Promise<LayerDescriptor>;
  /**
   * Writes what leads from the lower to the upper tree into the content store.
   * Errors: notImplemented (another media type). Effects: as apply; the content is labelled containerd.io/uncompressed.
   */
  compare(
    ctx: Ctx,
    lower: readonly MountSpec[],
    upper: readonly MountSpec[],
    options?: CompareOptions,
  ): Promise<LayerDescriptor>;
}
