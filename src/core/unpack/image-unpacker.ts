import { type Ctx, withSignal } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import type { Digest } from "../../lib/digest.ts";
import { invalidArgument, messageOf } from "../../lib/faults.ts";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import { isConfigType } from "../../lib/media-types.ts";
import { formatPlatform } from "../../lib/platforms.ts";
import { createSlots, type Slots } from "../../lib/slots.ts";
import type { ContentStore } from "../content/index.ts";
import type { MountSpec } from "../mounts/index.ts";
import { chainIds } from "../oci/index.ts";
import { readConfig, type UnpackConfig } from "./documents.ts";
import { type Extraction, extractLayer, type LayerResult } from "./layer-extraction.ts";
import { type LayerPlan, LayerSnapshots } from "./layer-snapshots.ts";
import type { LayerSource, UnpackableImage, Unpacker, UnpackProgress, UnpackTarget } from "./unpacker.ts";

export interface UnpackerOptions {
  readonly content: ContentStore;
  /** How many layers may be unpacked while they arrive, all images together; later ones wait until they are there. */
  readonly maxArriving?: number | undefined;
  /** How many layers are unpacked at once, all images together; 0 is as many as the differ takes. */
  readonly maxUnpacks?: number | undefined;
}

/** Each is a process; and no more come in at once from a registry. */
const defaultArriving = 3;
/** How long removing what a failed image left may take. */
const cleanupMs = 10_000;

/** Makes the unpacker. Two images with a layer in common wait for each other there, and unpack it once. */
export function createUnpacker(options: UnpackerOptions): Unpacker {
  const places = { free: options.maxArriving ?? defaultArriving };
  const { maxUnpacks = 0 } = options;
  const unpacks = maxUnpacks > 0 ? createSlots(maxUnpacks) : undefined;
  const locks = new KeyedMutex();
  const { content } = options;
  return {
    unpack: async (ctx, image, targets, source, progress = {}) => {
      const config = await readConfig(ctx, content, image.config);
      const target = targets.find((one) => suits(one, image.config, config));
      if (target === undefined) {
        const platform = formatPlatform(config.platform);
        ctx.log.debug("nothing unpacks this platform, its layers are only fetched", { platform });
        await fetchAll(ctx, image.layers, source);
        return false;
      }
      const { layers } = image;
      if (layers.length !== config.diffIds.length) {
        const counts = `${layers.length} != ${config.diffIds.length}`;
        throw invalidArgument(`number of layers and diffIDs don't match: ${counts}`);
      }
      await using differ = target.differ.forImage?.();
      const own = differ === undefined ? target : { ...target, differ };
      await new ImageUnpack(ctx, { content, places, unpacks, locks, target: own, source, progress }).run(
        image,
        config.diffIds,
      );
      return true;
    },
  };
}

/** Source: containerd core/unpack/unpacker.go, unpack. */
function suits(target: UnpackTarget, config: Descriptor, { platform, isLayered }: UnpackConfig): boolean {
  if (target.configType !== undefined && target.configType !== config.mediaType) return false;
  if (!isLayered && (target.configType === undefined || isConfigType(target.configType))) return false;
  return target.platform.matches(platform);
}

async function fetchAll(ctx: Ctx, layers: readonly Descriptor[], source: LayerSource): Promise<void> {
  const once = new Map(layers.map((layer) => [layer.digest, layer]));
  await Promise.all([...once.values()].map((layer) => source.fetch(ctx, layer, undefined)));
}

interface ImageUnpackOptions {
  readonly content: ContentStore;
  readonly places: { free: number };
  readonly unpacks: Slots | undefined;
  readonly locks: KeyedMutex;
  readonly target: UnpackTarget;
  readonly source: LayerSource;
  readonly progress: UnpackProgress;
}

/** The unpacking of one image. */
class ImageUnpack {
  readonly #ctx: Ctx;
  readonly #options: ImageUnpackOptions;

  constructor(ctx: Ctx, options: ImageUnpackOptions) {
    this.#ctx = ctx;
    this.#options = options;
  }

  async run(image: UnpackableImage, diffIds: readonly Digest[]): Promise<void> {
    const chain = chainIds(diffIds);
    const plans = image.layers.map((layer, index) => ({
      layer,
      diffId: diffIds[index] as Digest,
      chainId: chain[index] as Digest,
      parent: chain[index - 1] ?? "",
    }));
    const snapshots = new LayerSnapshots(this.#options.target, this.#options.locks);
    const stop = new AbortController();
    const ctx = withSignal(this.#ctx, AbortSignal.any([this.#ctx.signal, stop.signal]));
    const extraction = this.#extraction(ctx, stop, snapshots);
    try {
      if (this.#options.target.rebases) await this.#inAnyOrder(extraction, snapshots, plans);
      else await this.#oneByOne(extraction, snapshots, plans);
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      await extraction.idle();
      await this.#cleanUp(snapshots);
    }
    await this.#keep(image.config, chain.at(-1));
  }

  /** All layers at once; they become snapshots when all are there, from the bottom up. */
  async #inAnyOrder(extraction: Extraction, snapshots: LayerSnapshots, plans: readonly LayerPlan[]): Promise<void> {
    const running: Promise<LayerResult>[] = [];
    try {
      for (const [index, plan] of plans.entries()) {
        const snapshot = await snapshots.prepare(extraction.ctx, plan);
        if (snapshot === undefined) this.#options.progress.extracted?.(plan.layer);
        else {
          const result = extractLayer(extraction, snapshot, ({ mounts }) => asUpper(mounts, index));
          // Whichever fails first ends the others.
          result.catch((error: unknown) => extraction.stop.abort(error));
          running.push(result);
        }
      }
    } catch (error) {
      extraction.stop.abort(error);
    }
    const settled = await Promise.allSettled(running);
    // What lies below the first layer that failed is of use to the next attempt.
    const firstFailed = settled.findIndex(({ status }) => status === "rejected");
    const good = settled.slice(0, firstFailed < 0 ? undefined : firstFailed);
    const results = good.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    if (results.length > 0 && !this.#ctx.aborted) await this.#commitAll(results, snapshots);
    extraction.stop.signal.throwIfAborted();
  }

  /** One layer after the other, each on top of the one before; they are fetched together all the same. */
  async #oneByOne(extraction: Extraction, snapshots: LayerSnapshots, plans: readonly LayerPlan[]): Promise<void> {
    let ahead = false;
    for (const [index, plan] of plans.entries()) {
      const snapshot = await snapshots.prepare(extraction.ctx, plan);
      if (snapshot === undefined) {
        this.#options.progress.extracted?.(plan.layer);
        continue;
      }
      const result = extractLayer(extraction, snapshot, ({ mounts }) => mounts);
      if (!ahead) for (const { layer } of plans.slice(index + 1)) extraction.fetchAhead(layer);
      ahead = true;
      await this.#commit(await result, snapshots);
    }
  }

  #extraction(ctx: Ctx, stop: AbortController, snapshots: LayerSnapshots): Extraction {
    const { content, places, unpacks, target, source, progress } = this.#options;
    const fetched = new Map<Digest, Promise<void>>();
    // The same blob may be several layers: the first one fetches it.
    const fetch: Extraction["fetch"] = (layer, tee) => {
      const before = fetched.get(layer.digest);
      if (before !== undefined) return before;
      const fetching = source.fetch(ctx, layer, tee);
      fetched.set(layer.digest, fetching);
      return fetching;
    };
    const fetchAhead: Extraction["fetchAhead"] = (layer) => {
      fetch(layer, undefined).catch((error: unknown) => stop.abort(error));
    };
    const idle: Extraction["idle"] = async () => {
      await Promise.allSettled(fetched.values());
    };
    const renew: Extraction["renew"] = (spoilt) => snapshots.renew(ctx, spoilt);
    const syncEach = !target.rebases;
    return { ctx, stop, content, places, unpacks, target, progress, syncEach, fetch, fetchAhead, renew, idle };
  }

  /** One sync of the filesystem stands for all layers: none is a snapshot before its files are on disk. */
  async #commitAll(results: readonly LayerResult[], snapshots: LayerSnapshots): Promise<void> {
    const last = results.findLast(({ staged }) => !staged);
    if (last !== undefined) {
      await this.#options.target.differ.settle?.(this.#ctx, asUpper(last.snapshot.mounts, 1), { syncFs: true });
    }
    for (const result of results) await this.#commit(result, snapshots);
  }

  async #commit(result: LayerResult, snapshots: LayerSnapshots): Promise<void> {
    const { snapshot } = result;
    const { content, target, progress } = this.#options;
    if (target.rebases && result.impliedFolders.length > 0) {
      await snapshots.settle(this.#ctx, snapshot, result.impliedFolders);
    }
    await snapshots.commit(this.#ctx, snapshot, result.usage);
    const { layer, diffId } = snapshot;
    if (!result.staged) {
      const labels = new Map([[uncompressedLabel, diffId]]);
      await content.update(this.#ctx, { digest: layer.digest, labels }, [`labels.${uncompressedLabel}`]);
    }
    progress.extracted?.(layer);
  }

  /** The config's label keeps the snapshots from garbage collection. */
  async #keep(config: Descriptor, top: Digest | undefined): Promise<void> {
    const label = `containerd.io/gc.ref.snapshot.${this.#options.target.snapshotter.name}`;
    const labels = new Map([[label, top ?? ""]]);
    await this.#options.content.update(this.#ctx, { digest: config.digest, labels }, [`labels.${label}`]);
  }

  async #cleanUp(snapshots: LayerSnapshots): Promise<void> {
    // The caller may be gone: what it left goes all the same.
    const ctx = withSignal(this.#ctx, AbortSignal.timeout(cleanupMs));
    try {
      await snapshots.abandonRest(ctx);
    } catch (error) {
      ctx.log.warn("failed to clean up after an unpack", { error: messageOf(error) });
    }
  }
}

const uncompressedLabel = "containerd.io/uncompressed";

/**
 * What a snapshot without a parent is mounted by is a plain folder; as an overlay's upper one, hidden files are marked and
 * not just removed. Source: containerd core/unpack/unpacker.go, bindToOverlay.
 */
function asUpper(mounts: readonly MountSpec[], index: number): readonly MountSpec[] {
  const [only] = mounts;
  if (index === 0 || mounts.length !== 1 || only === undefined || only.type !== "bind") return mounts;
  const options = [...only.options.filter((option) => option !== "rbind"), `upperdir=${only.source}`];
  return [{ type: "overlay", source: "overlay", target: "", options }];
}
