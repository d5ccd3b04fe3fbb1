import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import type { Instant } from "../../lib/instant.ts";
import type { MountSpec } from "../mounts/index.ts";
import type { SnapshotUsage } from "../snapshots/index.ts";

/** What is needed of a descriptor. */
export interface LayerDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** What a layer became. */
export interface AppliedLayer extends LayerDescriptor {
  /** Folders that the layer has files in and does not describe; where the layers below were not there yet, see `settle`. */
  readonly impliedFolders?: readonly string[] | undefined;
  /** What the target takes now, where it was asked for and is known. */
  readonly usage?: SnapshotUsage | undefined;
}

export interface ApplyOptions {
  /** Brings the target's filesystem to disk before it answers. */
  readonly syncFs?: boolean | undefined;
  /** What the programs that the layer goes through are given, by their ids. */
  readonly payloads?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Counts what the target takes afterwards. */
  readonly measure?: boolean | undefined;
  /** Told now and then how many of the layer's bytes were read, where that is known. */
  readonly onOffset?: ((offset: number) => void) | undefined;
  /** The layer's file, where it is not in the content store yet; only for a media type that `takesStream` says yes to. */
  readonly arriving?: ArrivingLayer | undefined;
}

/** A layer's file that still grows. */
export interface ArrivingLayer {
  readonly file: string;
  /** How many bytes are there, said again and again. Ends when nothing more comes; the last one is `whole` if all came. */
  readonly growth: AsyncIterable<number | "whole">;
}

export interface SettleOptions {
  readonly impliedFolders?: readonly string[] | undefined;
  readonly syncFs?: boolean | undefined;
}

export interface CompareOptions {
  /** gzip's OCI layer when left out. */
  readonly mediaType?: string | undefined;
  /** The ingest to write to; one of its own when left out. */
  readonly ref?: string | undefined;
  readonly labels?: ReadonlyMap<string, string> | undefined;
  /** No time in the layer is later. */
  readonly sourceDate?: Instant | undefined;
}

/** Turns layers into trees, and what is between two trees into a layer. */
export interface Differ {
  /**
   * Applies a layer of the content store to what is mounted so.
   * Shape: answers the layer uncompressed, whose digest is the diff id.
   * Errors: notFound (no such content), invalidArgument (damaged; each names the layer and the entry), resourceExhausted.
   * Effects: a short-lived process, killed with the context; nothing stays mounted, whatever happens.
   */
  apply(ctx: Ctx, layer: LayerDescriptor, mounts: readonly MountSpec[], options?: ApplyOptions): Promise<AppliedLayer>;
  /**
   * The same for the layers of one image, which take fewer processes between them.
   * Effects: a process may wait for the next layer, not for long; disposing ends all of them, whatever they do.
   */
  forImage?(): Differ & AsyncDisposable;
  /** Whether a layer of that type can be applied while it arrives. */
  takesStream?(mediaType: string): boolean;
  /**
   * Finishes what was applied before the layers below it were known: gives the folders that it did not describe their
   * looks. Effects: as apply; with `syncFs` the target's filesystem is on disk.
   */
  settle?(ctx: Ctx, mounts: readonly MountSpec[], options: SettleOptions): Promise<void>;
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
