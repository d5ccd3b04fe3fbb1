import { type Ctx, withSignal } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { fault, invalidArgument, quote, wrapFault } from "../../lib/faults.ts";
import type { Slots } from "../../lib/slots.ts";
import { type TraceAttributes, traced } from "../../lib/trace.ts";
import type { ContentStore } from "../content/index.ts";
import type { AppliedLayer } from "../diff/index.ts";
import type { MountSpec } from "../mounts/index.ts";
import type { SnapshotUsage } from "../snapshots/index.ts";
import { LayerGrowth } from "./layer-growth.ts";
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
  /** Places for all layers that are being unpacked, where their number is bounded. */
  readonly unpacks: Slots | undefined;
  readonly target: UnpackTarget;
  readonly progress: UnpackProgress;
  /** Brings each layer to disk by itself. */
  readonly syncEach: boolean;
  /** Brings a layer into the content store, once for each blob. */
  fetch(layer: Descriptor, tee: LayerTee | undefined): Promise<void>;
  /** Begins to bring in a layer that is not unpacked yet. */
  fetchAhead(layer: Descriptor): void;
  /** A snapshot in place of one that has wrong files in it. */
  renew(snapshot: LayerSnapshot): Promise<LayerSnapshot>;
  /** Settles when nothing is brought in any more. */
  idle(): Promise<void>;
}

export interface LayerResult {
  readonly snapshot: LayerSnapshot;
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
  mountsOf: (snapshot: LayerSnapshot) => readonly MountSpec[],
): Promise<LayerResult> {
  if (isReadOnly(snapshot.mounts)) return { snapshot, impliedFolders: [], usage: undefined, staged: true };
  const { layer, diffId } = snapshot;
  const arrival = new Arrival(extraction, layer, mountsOf(snapshot));
  let into = snapshot;
  let applied: AppliedLayer;
  try {
    await extraction.fetch(layer, arrival.tee);
    const arrived = await arrival.end();
    if (arrived === undefined && arrival.spoilt) into = await extraction.renew(snapshot);
    applied = arrived ?? (await applyBlob(extraction, layer, mountsOf(into)));
  } catch (error) {
    await arrival.leave();
    if (extraction.ctx.aborted || arrival.fetching) throw error;
    const { mediaType, digest } = layer;
    const where = `(${mediaType} ${digest}) to ${extraction.target.snapshotter.name} as ${quote(into.key)}`;
    throw wrapFault(`failed to extract layer ${where}`, error);
  }
  if (applied.digest !== diffId) {
    throw invalidArgument(
      `wrong diff id ${quote(applied.digest)} calculated on extraction ${quote(diffId)}, desc ${quote(layer.digest)}`,
    );
  }
  return { snapshot: into, impliedFolders: applied.impliedFolders ?? [], usage: applied.usage, staged: false };
}

async function applyBlob(
  extraction: Extraction,
  layer: Descriptor,
  mounts: readonly MountSpec[],
): Promise<AppliedLayer> {
  const { ctx, unpacks, target, syncEach, progress } = extraction;
  using _slot = await unpacks?.take(ctx.signal);
  progress.extracting?.(layer, 0);
  const onOffset = progress.extracting === undefined ? undefined : progress.extracting.bind(progress, layer);
  const options = { syncFs: syncEach, measure: true, onOffset };
  return await traced(ctx, "unpack layer", attributesOf(layer), (own) =>
    target.differ.apply(own, layer, mounts, options),
  );
}

function attributesOf({ digest, sizeBytes }: Descriptor): TraceAttributes {
  return { digest, "size.bytes": sizeBytes };
}

/** A layer that may be unpacked while it arrives: from whenever there is a place for that, out of the file that it comes to. */
class Arrival implements LayerTee {
  /** Until the layer is in the content store a failure is the fetching's, unless the unpacking failed first. */
  fetching = true;
  /** What was unpacked turned out not to be the layer. */
  spoilt = false;
  readonly #extraction: Extraction;
  readonly #layer: Descriptor;
  readonly #mounts: readonly MountSpec[];
  readonly #growth: LayerGrowth = new LayerGrowth();
  readonly #stop: AbortController = new AbortController();
  #file: string | undefined;
  #applying: Promise<AppliedLayer> | undefined;
  #failed: { readonly error: unknown } | undefined;

  constructor(extraction: Extraction, layer: Descriptor, mounts: readonly MountSpec[]) {
    this.#extraction = extraction;
    this.#layer = layer;
    this.#mounts = mounts;
  }

  /** What is told of the layer's bytes; undefined when nothing could be done with them. */
  get tee(): LayerTee | undefined {
    return this.#extraction.target.differ.takesStream?.(this.#layer.mediaType) === true ? this : undefined;
  }

  begin(_offset: number, file: string | undefined): void {
    this.#file = file;
    if (this.#applying === undefined) return;
    this.spoilt = true;
    this.#stop.abort(fault("aborted", "the layer's download began anew"));
    this.#growth.giveUp();
  }

  grown(sizeBytes: number): void {
    if (this.spoilt || this.#file === undefined) return;
    // An archive that cannot be unpacked needs no more downloading.
    if (this.#failed !== undefined) throw this.#failed.error;
    this.#growth.grow(sizeBytes);
    if (this.#applying === undefined) this.#tryStart(this.#file);
    this.#extraction.progress.extracting?.(this.#layer, sizeBytes);
  }

  /** The layer is there: what came of unpacking it on the way; undefined when that is still to be done. */
  async end(): Promise<AppliedLayer | undefined> {
    this.fetching = false;
    this.#growth.finish();
    if (!this.spoilt) return this.#applying;
    await this.leave();
    return undefined;
  }

  /** Waits until nothing works on it any more, whatever comes of it. */
  async leave(): Promise<void> {
    this.#growth.giveUp();
    await this.#applying?.catch(() => {
      // The failure that brought us here is the one to tell.
    });
  }

  /** One that has no place now is tried again with its next bytes, or unpacked once it is there. */
  #tryStart(file: string): void {
    const { places, unpacks } = this.#extraction;
    if (places.free === 0) return;
    const slot = unpacks?.tryTake();
    if (unpacks === undefined || slot !== undefined) this.#start(file, slot);
  }

  #start(file: string, slot: Disposable | undefined): void {
    const { ctx, places, target, syncEach } = this.#extraction;
    places.free--;
    const own = withSignal(ctx, AbortSignal.any([ctx.signal, this.#stop.signal]));
    const options = { arriving: { file, growth: this.#growth }, syncFs: syncEach, measure: true };
    this.#applying = traced(own, "unpack layer", attributesOf(this.#layer), (inner) =>
      target.differ.apply(inner, this.#layer, this.#mounts, options),
    );
    this.#applying
      .catch((error: unknown) => {
        if (!this.spoilt) this.fetching = false;
        this.#failed = { error };
      })
      .finally(() => {
        places.free++;
        slot?.[Symbol.dispose]();
        this.#growth.giveUp();
      });
  }
}

/** Source: containerd core/unpack/unpacker.go, isStaged. */
function isReadOnly(mounts: readonly MountSpec[]): boolean {
  return mounts.at(-1)?.options.includes("ro") === true;
}
