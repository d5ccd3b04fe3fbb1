import { type Ctx, withSignal } from "../../lib/ctx.ts";
import { type Descriptor } from "../../lib/descriptor.ts";
import { invalidArgument, wrapFault } from "../../lib/faults.ts";
import { dockerSchema1Manifest, isConfigType, isLayerType, isManifestType } from "../../lib/media-types.ts";
import { type TraceAttributes, traced } from "../../lib/trace.ts";
import { createResolver, distributionSource, type Fetcher, parseRef } from "../remotes/index.ts";
import type { UnpackProgress, UnpackTarget } from "../unpack/index.ts";
import { endpointName } from "./endpoint-names.ts";
import { childrenOf, filterOf, labelledChildren, maxDepth, type TreeFilter } from "./image-tree.ts";
import { saveImages, type TransferParts, unpackTargets, verifyImage } from "./parts.ts";
import { ProgressTracker } from "./progress-tracker.ts";
import type { OnTransferProgress, RegistryEndpoint, StoreEndpoint } from "./transfer.ts";

/** Brings an image from a registry. Source: containerd core/transfer/local/pull.go. */
export async function pullImage(
  ctx: Ctx,
  parts: TransferParts,
  source: RegistryEndpoint,
  store: StoreEndpoint,
  tell: OnTransferProgress,
): Promise<void> {
  const from = endpointName(source);
  tell({ event: `Resolving from ${from}` });
  const resolver = createResolver(parts.resolverOptions(source));
  let resolved: Awaited<ReturnType<typeof resolver.resolve>>;
  try {
    resolved = await traced(ctx, "resolve", { reference: source.reference }, (own) =>
      resolver.resolve(own, source.reference),
    );
  } catch (error) {
    throw wrapFault("failed to resolve image", error);
  }
  const { name, descriptor } = resolved;
  if (descriptor.mediaType === dockerSchema1Manifest) {
    throw invalidArgument("schema 1 image manifests are no longer supported");
  }
  await verifyImage(ctx, parts, "pull", name, descriptor);
  tell({ event: `Pulling from ${from}` });
  tell({ event: "fetching image content", name, descriptor });
  const fetcher = await resolver.fetcher(ctx, name);
  {
    using tracker = new ProgressTracker(name, "downloading", tell);
    const targets = unpackTargets(ctx, parts, store);
    await new Pull(ctx, { parts, fetcher, name, tracker, targets, filter: filterOf(store) }).visit(descriptor, 0);
  }
  for (const image of await saveImages(ctx, parts, store, descriptor, false)) {
    tell({ event: "saved", name: image.name, descriptor });
  }
  tell({ event: `Completed pull from ${from}` });
}

function attributesOf({ digest, mediaType, sizeBytes }: Descriptor): TraceAttributes {
  return { digest, "media.type": mediaType, "size.bytes": sizeBytes };
}

interface PullOptions {
  readonly parts: TransferParts;
  readonly fetcher: Fetcher;
  readonly name: string;
  readonly tracker: ProgressTracker;
  readonly targets: readonly UnpackTarget[];
  readonly filter: TreeFilter;
}

/** The fetching of one image: each part once, siblings at once. */
class Pull {
  readonly #ctx: Ctx;
  readonly #options: PullOptions;
  readonly #seen = new Map<string, Promise<void>>();
  readonly #stop: AbortController;

  constructor(ctx: Ctx, options: PullOptions) {
    this.#stop = new AbortController();
    this.#ctx = withSignal(ctx, AbortSignal.any([ctx.signal, this.#stop.signal]));
    this.#options = options;
  }

  /** Brings in what hangs from a descriptor. Errors: the first that happens; by then nothing is fetched any more. */
  async visit(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > maxDepth) throw invalidArgument(`${descriptor.digest}: indexes are nested too deep`);
    await this.#bring(descriptor);
    const children = await this.#children(descriptor);
    if (children.length === 0) return;
    const layered = isManifestType(descriptor.mediaType) && this.#options.targets.length > 0;
    const visits = layered ? this.#manifest(children, depth) : children.map((child) => this.visit(child, depth + 1));
    await this.#all(visits);
  }

  /** Layers wait for the config, which says what they become. */
  #manifest(children: readonly Descriptor[], depth: number): Promise<void>[] {
    const isLayer = ({ mediaType }: Descriptor): boolean =>
      isLayerType(mediaType) ||
      this.#options.targets.some(({ layerTypes }) => layerTypes?.includes(mediaType) === true);
    const layers = children.filter(isLayer);
    const others = children.filter((child) => !isLayer(child));
    const config = others.find((child) => isConfigType(child.mediaType) || this.#isOwnConfig(child));
    if (config === undefined) return children.map((child) => this.visit(child, depth + 1));
    return others.map(async (child) => {
      await this.visit(child, depth + 1);
      if (child === config && layers.length > 0) await this.#unpack(config, layers);
    });
  }

  #isOwnConfig({ mediaType }: Descriptor): boolean {
    return this.#options.targets.some(({ configType }) => configType === mediaType);
  }

  async #unpack(config: Descriptor, layers: readonly Descriptor[]): Promise<void> {
    const { parts, fetcher, tracker, targets } = this.#options;
    for (const layer of layers) tracker.add(layer);
    const progress: UnpackProgress = {
      extracting: (layer, offset) => tracker.extracting(layer, offset),
      extracted: (layer) => tracker.extracted(layer),
    };
    await parts.unpacker.unpack(
      this.#ctx,
      { config, layers },
      targets,
      {
        fetch: async (ctx, layer, tee) => {
          const brought = await traced(ctx, "fetch", attributesOf(layer), (own) =>
            fetcher.fetchInto(own, layer, parts.content, {
              onProgress: (offset) => tracker.moved(layer, offset),
              onOpen: tee?.begin.bind(tee),
              onGrown: tee?.grown.bind(tee),
            }),
          );
          this.#brought(layer, brought);
          await this.#labelSource(layer);
        },
      },
      progress,
    );
  }

  #bring(descriptor: Descriptor): Promise<void> {
    const before = this.#seen.get(descriptor.digest);
    if (before !== undefined) return before;
    const { fetcher, parts, tracker } = this.#options;
    tracker.add(descriptor);
    const onProgress = (offset: number): void => tracker.moved(descriptor, offset);
    const bringing = traced(this.#ctx, "fetch", attributesOf(descriptor), (ctx) =>
      fetcher.fetchInto(ctx, descriptor, parts.content, { onProgress }),
    ).then((brought) => {
      this.#brought(descriptor, brought);
      return this.#labelSource(descriptor);
    });
    this.#seen.set(descriptor.digest, bringing);
    return bringing;
  }

  #brought(descriptor: Descriptor, brought: boolean): void {
    if (brought) this.#options.tracker.complete(descriptor);
    else this.#options.tracker.exists(descriptor);
  }

  /** Remembers where a blob can be mounted from when it is pushed elsewhere. */
  async #labelSource({ digest }: Descriptor): Promise<void> {
    const { parts, name } = this.#options;
    const { labels } = parts.content.info(this.#ctx, digest);
    const spec = parseRef(name);
    const [key] = distributionSource(spec, undefined);
    const [, value] = distributionSource(spec, labels.get(key));
    if (labels.get(key) === value) return;
    await parts.content.update(this.#ctx, { digest, labels: new Map([[key, value]]) }, [`labels.${key}`]);
  }

  async #children(descriptor: Descriptor): Promise<readonly Descriptor[]> {
    const { parts, tracker, filter } = this.#options;
    const all = await childrenOf(this.#ctx, parts.content, descriptor);
    const children = await labelledChildren(this.#ctx, parts.content, descriptor, all, filter);
    tracker.addChildren(descriptor, children);
    return children;
  }

  async #all(visits: readonly Promise<void>[]): Promise<void> {
    for (const visit of visits) visit.catch((error: unknown) => this.#stop.abort(error));
    const settled = await Promise.allSettled(visits);
    if (settled.some(({ status }) => status === "rejected")) throw this.#stop.signal.reason;
  }
}
