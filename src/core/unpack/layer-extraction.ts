import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { invalidArgument, quote, wrapFault } from "../../lib/faults.ts";
import type { ContentStore } from "../content/index.ts";
import type { AppliedLayer } from "../diff/index.ts";
import type { MountSpec, SnapshotUsage } from "../snapshots/index.ts";
import { LayerFeed } from "./layer-feed.ts";
import type { LayerSnapshot } from "./layer-snapshots.ts";
import type { LayerTee, UnpackProgress, UnpackTarget } from "./unpacker.ts";

/** What the layers of one image share. */
export interface Extraction {
  readonly ctx: Ctx;
  /** Ends all that works on the image. */
  readonly stop: AbortController;
  readonly content: ContentStore;
  /** Places for layers that are unpacked while they arrive. */
  readonly places: { free: number };
  readonly target: UnpackTarget;
  readonly progress: UnpackProgress;
  /** Brings each layer to disk by itself. */
  readonly syncEach: boolean;
  /** Brings a layer into the content store, once for each blob. */
  fetch(layer: Descriptor, tee: LayerTee | undefined): Promise<void>;
  /** Begins to bring in a layer that is not unpacked yet. */
  fetchAhead(layer: Descriptor): void;
  /** Settles when nothing is brought in any more. */
  idle(): Promise<void>;
}

export interface LayerResult {
  readonly impliedFolders: readonly string[];
  readonly usage: SnapshotUsage | undefined;
  /** The snapshotter had the layer's files already. */
  readonly staged: boolean;
}

/**
 * Brings one layer in and unpacks it: while it arrives, where there is a place for that, else afterwards.
 * Errors: name the layer, and the entry where it is one.
 */
export async function extractLayer(
  extraction: Extraction,
  snapshot: LayerSnapshot,
  mounts: readonly MountSpec[],
): Promise<LayerResult> {
  if (isReadOnly(mounts)) return { impliedFolders: [], usage: undefined, staged: true };
  const { layer, diffId, key } = snapshot;
  const arrival = new Arrival(extraction, layer, mounts);
  let applied: AppliedLayer;
  try {
    await extraction.fetch(layer, arrival.tee);
    applied = (await arrival.end()) ?? (await applyBlob(extraction, layer, mounts));
  } catch (error) {
    await arrival.leave();
    if (extraction.ctx.aborted) throw error;
    const { mediaType, digest } = layer;
    const where = `(${mediaType} ${digest}) to ${extraction.target.snapshotter.name} as ${quote(key)}`;
    throw arrival.fetching ? error : wrapFault(`failed to extract layer ${where}`, error);
  }
  if (applied.digest !== diffId) {
    throw invalidArgument(
      `wrong diff id ${quote(applied.digest)} calculated on extraction ${quote(diffId)}, desc ${quote(layer.digest)}`,
    );
  }
  return { impliedFolders: applied.impliedFolders ?? [], usage: applied.usage, staged: false };
}

function applyBlob(extraction: Extraction, layer: Descriptor, mounts: readonly MountSpec[]): Promise<AppliedLayer> {
  const { ctx, target, syncEach, progress } = extraction;
  progress.extracting?.(layer, 0);
  return target.differ.apply(ctx, layer, mounts, { syncFs: syncEach, measure: true });
}

/** A layer that may be unpacked while it arrives. */
class Arrival {
  /** Until the layer is in the content store a failure is the fetching's, unless the unpacking failed first. */
  fetching = true;
  readonly #extraction: Extraction;
  readonly #layer: Descriptor;
  readonly #mounts: readonly MountSpec[];
  readonly #feed: LayerFeed = new LayerFeed();
  #applying: Promise<AppliedLayer> | undefined;
  #failed: { readonly error: unknown } | undefined;
  #refused = false;
  #offset = 0;

  constructor(extraction: Extraction, layer: Descriptor, mounts: readonly MountSpec[]) {
    this.#extraction = extraction;
    this.#layer = layer;
    this.#mounts = mounts;
  }

  /** What is handed the layer's bytes; undefined when nothing could be done with them. */
  get tee(): LayerTee | undefined {
    const { differ } = this.#extraction.target;
    return differ.takesStream?.(this.#layer.mediaType) === true ? (bytes) => this.#take(bytes) : undefined;
  }

  /** The layer is there: what came of unpacking it on the way; undefined when that was not done. */
  async end(): Promise<AppliedLayer | undefined> {
    this.fetching = false;
    this.#feed.end();
    return this.#applying;
  }

  /** Waits until nothing works on it any more, whatever comes of it. */
  async leave(): Promise<void> {
    this.#feed.end();
    await this.#applying?.catch(() => {
      // The failure that brought us here is the one to tell.
    });
  }

  async #take(bytes: Uint8Array): Promise<void> {
    if (this.#applying === undefined && !this.#refused) this.#start();
    if (this.#refused) return;
    await this.#feed.push(bytes);
    // An archive that cannot be unpacked needs no more downloading.
    if (this.#failed !== undefined) throw this.#failed.error;
    this.#offset += bytes.length;
    this.#extraction.progress.extracting?.(this.#layer, this.#offset);
  }

  #start(): void {
    const { ctx, places, target, syncEach } = this.#extraction;
    // Without a place it is unpacked once it is there: an arriving layer must not wait for another that arrives slowly.
    this.#refused = places.free === 0;
    if (this.#refused) return;
    places.free--;
    const options = { input: this.#feed, syncFs: syncEach, measure: true };
    this.#applying = target.differ.apply(ctx, this.#layer, this.#mounts, options);
    this.#applying
      .catch((error: unknown) => {
        this.fetching = false;
        this.#failed = { error };
      })
      .finally(() => {
        places.free++;
        this.#feed.end();
      });
  }
}

/** Source: containerd core/unpack/unpacker.go, isStaged. */
function isReadOnly(mounts: readonly MountSpec[]): boolean {
  return mounts.at(-1)?.options.includes("ro") === true;
}
