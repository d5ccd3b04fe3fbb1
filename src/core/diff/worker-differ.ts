import { closeSync, openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Ctx } from "../../lib/ctx.ts";
import { type Digest, parseDigest } from "../../lib/digest.ts";
import { FaultError, messageOf, notImplemented, wrapFault } from "../../lib/faults.ts";
import { createSlots, type Slots } from "../../lib/slots.ts";
import {
  type DiffCompression,
  type LayerCrew,
  openLayerCrew,
  spawnWorker,
  startingRights,
  type UnpackLimits,
} from "../../workers/index.ts";
import type { BlobFile, ContentStore } from "../content/index.ts";
import type { MountSpec } from "../mounts/index.ts";
import type { AppliedLayer, ApplyOptions, CompareOptions, Differ, LayerDescriptor, SettleOptions } from "./differ.ts";
import { makeLayer, uncompressedLabel } from "./made-layer.ts";
import { processorChain, type StreamProcessorConfig } from "./processors.ts";

export interface DifferOptions {
  readonly content: ContentStore;
  /** A folder of the differ's own, in which workers mount what no other process sees. */
  readonly root: string;
  /** Syncs after every apply, asked for or not. */
  readonly syncFs?: boolean | undefined;
  readonly limits?: Partial<UnpackLimits> | undefined;
  /** Programs that layers of some media types go through first, by their ids. */
  readonly processors?: ReadonlyMap<string, StreamProcessorConfig> | undefined;
  /** How many workers run at once; the others wait. */
  readonly maxWorkers?: number | undefined;
}

/** Generous: they stop bombs, not images. */
const defaultLimits: UnpackLimits = { maxEntries: 10_000_000, maxBytes: 512 * 2 ** 30 };

const ociLayer = "application/vnd.oci.image.layer.v1.tar";

const compressions: ReadonlyMap<string, DiffCompression> = new Map([
  [ociLayer, "none"],
  [`${ociLayer}+gzip`, "gzip"],
  [`${ociLayer}+zstd`, "zstd"],
]);

/** Makes the differ that works in short-lived processes. Effects: makes its folder when it is used first. */
export function createDiffer(options: DifferOptions): Differ {
  return new WorkerDiffer(options);
}

interface UnpackRequest {
  /** A path, or a descriptor where the archive is still arriving. */
  readonly archive: string | number;
  readonly chain: ReturnType<typeof processorChain>;
  readonly mounts: readonly MountSpec[];
  readonly options: ApplyOptions;
  readonly signal: AbortSignal;
}

class WorkerDiffer implements Differ {
  readonly #content: ContentStore;
  readonly #root: string;
  readonly #syncFs: boolean;
  readonly #limits: UnpackLimits;
  readonly #slots: Slots;
  readonly #processors: ReadonlyMap<string, StreamProcessorConfig>;
  #ready: Promise<void> | undefined;

  constructor(options: DifferOptions) {
    this.#content = options.content;
    this.#root = options.root;
    this.#syncFs = options.syncFs ?? false;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#processors = options.processors ?? new Map();
    this.#slots = createSlots(options.maxWorkers ?? Math.max(2, availableParallelism()));
  }

  apply(ctx: Ctx, layer: LayerDescriptor, mounts: readonly MountSpec[], options?: ApplyOptions): Promise<AppliedLayer> {
    return this.#applyBy(undefined, ctx, layer, mounts, options);
  }

  forImage(): Differ & AsyncDisposable {
    const crew = openLayerCrew();
    return {
      apply: (ctx, layer, mounts, options) => this.#applyBy(crew, ctx, layer, mounts, options),
      takesStream: (mediaType) => this.takesStream(mediaType),
      settle: (ctx, mounts, options) => this.settle(ctx, mounts, options),
      compare: (ctx, lower, upper, options) => this.compare(ctx, lower, upper, options),
      [Symbol.asyncDispose]: () => crew[Symbol.asyncDispose](),
    };
  }

  async #applyBy(
    crew: LayerCrew | undefined,
    ctx: Ctx,
    layer: LayerDescriptor,
    mounts: readonly MountSpec[],
    options: ApplyOptions = {},
  ): Promise<AppliedLayer> {
    const { arriving } = options;
    // Opened at once: when all has arrived the file goes elsewhere.
    using file = arriving === undefined ? undefined : openForWorker(arriving.file);
    await using blob = file === undefined ? await this.#blobOf(ctx, layer.digest) : undefined;
    const archive = file?.fd ?? blob?.path ?? "";
    const chain = processorChain(this.#processors, layer.mediaType, options.payloads ?? new Map());
    await this.#prepared();
    // A layer that is still arriving mostly waits: it would keep a place from one that is there.
    using _slot = arriving === undefined ? await this.#slots.take(ctx.signal) : undefined;
    try {
      const { digest, sizeBytes, notes, impliedFolders, usage } = await this.#unpack(
        crew?.takes(mounts) === true && chain.processors.length === 0 ? crew : undefined,
        { archive, chain, mounts, options, signal: ctx.signal },
      );
      if (notes.length > 0) ctx.log.warn("a layer was not applied in full", { digest: layer.digest, notes });
      return { mediaType: ociLayer, digest: parseDigest(digest), sizeBytes, impliedFolders, usage };
    } catch (error) {
      throw ctx.aborted ? error : applyFault(layer.digest, error);
    }
  }

  #unpack(
    crew: LayerCrew | undefined,
    { archive, chain, mounts, options, signal }: UnpackRequest,
  ): ReturnType<LayerCrew["apply"]> {
    const job = {
      mediaType: chain.mediaType,
      syncFs: this.#syncFs || options.syncFs === true,
      limits: this.#limits,
      measure: options.measure,
      tellsOffset: options.onOffset !== undefined,
    };
    const { onOffset } = options;
    const lines = options.arriving === undefined ? undefined : asLines(options.arriving.growth);
    if (crew !== undefined) return crew.apply({ ...job, mounts, archive, lines, signal, onOffset });
    const [blob, file] = typeof archive === "string" ? [archive] : [undefined, archive];
    const { processors } = chain;
    const target = { mounts, mountPoint: join(this.#root, "upper") };
    // Programs of the configuration's get what the daemon has.
    const rights = processors.length === 0 ? startingRights(mounts) : undefined;
    return spawnWorker("unpack", { ...job, blob, processors, target }, { signal, file, lines, onOffset, rights });
  }

  async #blobOf(ctx: Ctx, digest: Digest): Promise<BlobFile> {
    try {
      return await this.#content.file(ctx, digest);
    } catch (error) {
      throw wrapFault("failed to get reader from content store", error);
    }
  }

  takesStream(mediaType: string): boolean {
    return processorChain(this.#processors, mediaType, new Map()).processors.length === 0;
  }

  async settle(ctx: Ctx, mounts: readonly MountSpec[], options: SettleOptions): Promise<void> {
    await this.#prepared();
    using _slot = await this.#slots.take(ctx.signal);
    const { impliedFolders = [], syncFs = false } = options;
    const target = { mounts, mountPoint: join(this.#root, "upper") };
    await spawnWorker("settle-tree", { target, impliedFolders, syncFs }, { signal: ctx.signal });
  }

  async compare(
    ctx: Ctx,
    lower: readonly MountSpec[],
    upper: readonly MountSpec[],
    options: CompareOptions = {},
  ): Promise<LayerDescriptor> {
    const mediaType = options.mediaType ?? `${ociLayer}+gzip`;
    const compression = compressions.get(mediaType);
    if (compression === undefined) throw notImplemented(`unsupported diff media type: ${mediaType}`);
    await this.#prepared();
    using _slot = await this.#slots.take(ctx.signal);
    const job = { lower, upper, mountFolder: this.#root, compression, latestSeconds: options.sourceDate?.seconds };
    return makeLayer(ctx, this.#content, {
      ref: options.ref,
      mediaType,
      make: async (output) => parseDigest((await spawnWorker("diff", job, { signal: ctx.signal, output })).digest),
      labels: (diffId) => {
        const labels = new Map(options.labels);
        return compression === "none" ? labels : labels.set(uncompressedLabel, diffId);
      },
    });
  }

  #prepared(): Promise<void> {
    this.#ready ??= this.#makeFolders().catch((error: unknown) => {
      this.#ready = undefined;
      throw wrapFault("prepare the differ's folder", error);
    });
    return this.#ready;
  }

  async #makeFolders(): Promise<void> {
    for (const name of ["lower", "upper"]) await mkdir(join(this.#root, name), { recursive: true, mode: 0o700 });
  }
}

/** A path that the worker did not find is none of the caller's: containerd gives such failures no code. */
function applyFault(digest: Digest, error: unknown): FaultError {
  const kind = error instanceof FaultError && error.kind !== "notFound" ? error.kind : "unknown";
  return new FaultError(kind, `apply layer ${digest}: ${messageOf(error)}`, { cause: error });
}

function openForWorker(path: string): Disposable & { readonly fd: number } {
  const fd = openSync(path, "r");
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

async function* asLines(growth: AsyncIterable<number | "whole">): AsyncGenerator<string> {
  for await (const size of growth) yield String(size);
}
