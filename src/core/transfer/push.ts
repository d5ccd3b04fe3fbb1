import { type Ctx, withSignal } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { parseDigest } from "../../lib/digest.ts";
import { invalidArgument, isFault } from "../../lib/faults.ts";
import { isIndexType, isManifestType } from "../../lib/media-types.ts";
import { allPlatforms, anyPlatformOf, type PlatformMatcher } from "../../lib/platforms.ts";
import type { Slots } from "../../lib/slots.ts";
import type { ContentStore } from "../content/index.ts";
import { createResolver, type Pusher } from "../remotes/index.ts";
import { endpointName } from "./endpoint-names.ts";
import { childrenOf, maxDepth } from "./image-tree.ts";
import { fromWire, type TransferParts } from "./parts.ts";
import { ProgressTracker } from "./progress-tracker.ts";
import type { OnTransferProgress, RegistryEndpoint, StoreEndpoint } from "./transfer.ts";

const sourcePrefix = "containerd.io/distribution.source.";

/** Brings an image to a registry. Source: containerd core/transfer/local/push.go; core/remotes/handlers.go, PushContent. */
export async function pushImage(
  ctx: Ctx,
  parts: TransferParts,
  store: StoreEndpoint,
  destination: RegistryEndpoint,
  tell: OnTransferProgress,
): Promise<void> {
  const to = endpointName(destination);
  const image = parts.images.get(ctx, store.name);
  const descriptor = fromWire(image.target, store.name);
  tell({ event: `Pushing to ${to}` });
  tell({ event: "pushing content", name: image.name, descriptor });
  const { reference } = destination;
  // With the digest only that one manifest gets the tag.
  const ref = reference.includes("@") ? reference : `${reference}@${parseDigest(descriptor.digest)}`;
  const pusher = await createResolver(parts.resolverOptions(destination)).pusher(ctx, ref);
  {
    using tracker = new ProgressTracker(image.name, "uploading", tell);
    const platform = store.platforms.length === 0 ? allPlatforms : anyPlatformOf(store.platforms);
    await new Push(ctx, { content: parts.content, pusher, tracker, platform, slots: parts.uploads() }).push(descriptor);
  }
  tell({ event: "pushed content", name: image.name, descriptor });
  tell({ event: `Completed push to ${to}`, descriptor });
}

interface PushParts {
  readonly content: ContentStore;
  readonly pusher: Pusher;
  readonly tracker: ProgressTracker;
  readonly platform: PlatformMatcher;
  readonly slots: Slots;
}

/** The pushing of one image: blobs at once, then manifests, then indexes from the inside out. */
class Push {
  readonly #ctx: Ctx;
  readonly #parts: PushParts;
  readonly #stop: AbortController = new AbortController();
  readonly #blobs = new Map<string, Descriptor>();
  readonly #manifests = new Map<string, Descriptor>();
  readonly #indexes = new Map<string, Descriptor>();

  constructor(ctx: Ctx, parts: PushParts) {
    this.#ctx = withSignal(ctx, AbortSignal.any([ctx.signal, this.#stop.signal]));
    this.#parts = parts;
  }

  async push(root: Descriptor): Promise<void> {
    await this.#collect(root, 0);
    await this.#all([...this.#blobs.values()]);
    await this.#all([...this.#manifests.values()]);
    for (const index of [...this.#indexes.values()].toReversed()) await this.#one(index);
  }

  async #collect(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > maxDepth) throw invalidArgument(`${descriptor.digest}: indexes are nested too deep`);
    const { content, tracker, platform } = this.#parts;
    tracker.add(descriptor);
    const group = isManifestType(descriptor.mediaType)
      ? this.#manifests
      : isIndexType(descriptor.mediaType)
        ? this.#indexes
        : this.#blobs;
    // An index inside of another comes after it here, and so before it in the end.
    group.delete(descriptor.digest);
    group.set(descriptor.digest, descriptor);
    const all = await childrenOf(this.#ctx, content, descriptor);
    const children = all.filter((child) => child.platform === undefined || platform.matches(child.platform));
    tracker.addChildren(descriptor, children);
    for (const child of children) await this.#collect(this.#withSources(child, descriptor), depth + 1);
  }

  /** Tells where a blob may be mounted from: what is known of it, and of what it belongs to. */
  #withSources(child: Descriptor, parent: Descriptor): Descriptor {
    const annotations = new Map(child.annotations);
    for (const labels of [this.#labels(child), parent.annotations, this.#labels(parent)]) {
      for (const [key, value] of labels ?? []) {
        if (!key.startsWith(sourcePrefix)) continue;
        const known = annotations.get(key);
        annotations.set(key, known === undefined || known === value ? value : `${known},${value}`);
      }
    }
    return annotations.size === 0 ? child : { ...child, annotations };
  }

  #labels({ digest }: Descriptor): ReadonlyMap<string, string> | undefined {
    try {
      return this.#parts.content.info(this.#ctx, digest).labels;
    } catch (error) {
      // The registry may have it; if not, pushing it tells.
      if (isFault(error, "notFound")) return undefined;
      throw error;
    }
  }

  async #all(descriptors: readonly Descriptor[]): Promise<void> {
    const pushing = descriptors.map(async (descriptor) => {
      try {
        await this.#one(descriptor);
      } catch (error) {
        this.#stop.abort(error);
        throw error;
      }
    });
    const settled = await Promise.allSettled(pushing);
    if (settled.some(({ status }) => status === "rejected")) throw this.#stop.signal.reason;
  }

  async #one(descriptor: Descriptor): Promise<void> {
    const { content, pusher, tracker, slots } = this.#parts;
    using _slot = await slots.take(this.#ctx.signal);
    const source = { read: (offset: number) => content.read(this.#ctx, descriptor.digest, offset) };
    const onProgress = (offset: number): void => tracker.moved(descriptor, offset);
    const outcome = await pusher.push(this.#ctx, descriptor, source, { onProgress });
    if (outcome === "pushed") tracker.complete(descriptor);
    else tracker.exists(descriptor);
  }
}
