import type { Platform } from "../../lib/platforms.ts";
import type { Client } from "../client.ts";
import { writeDocument } from "./blob-writer.ts";
import { labelChildren } from "./child-labels.ts";
import { type LayerPacking, layerType, packingOf, repackLayer } from "./convert-layer.ts";
import { type Descriptor, mediaTypes } from "./documents.ts";
import { parseConfig, readBlob } from "./image-config.ts";
import { type ImageTree, type IndexParts, type ManifestParts, manifestsOf, readImageTree } from "./image-tree.ts";
import { putImage } from "./import-archive.ts";
import { withLease } from "./lease.ts";

export interface ConvertOptions {
  readonly wants: (platform: Platform) => boolean;
  /** An image for one platform, too, must be for a wanted one. */
  readonly strict: boolean;
  /** OCI's media types in place of docker's. */
  readonly oci: boolean;
  /** How layers are to be packed; as they are when left out. */
  readonly packing?: LayerPacking | undefined;
  /** Told how many bytes of the layers that are written anew were read, and of how many. */
  readonly onProgress?: ((count: number, total: number) => void) | undefined;
}

/** How many layers are packed at once. */
const atOnce = 3;

/**
 * Makes a copy of an image under another name, with other layers or media types.
 * Shape: answers what the name points at. Layers that are packed as they should be are not written again.
 * Errors: notFound (a blob), dataLoss (a layer that is not what the config says).
 * Effects: nothing is named before all is there.
 */
export function convertImage(
  client: Client,
  target: Descriptor,
  name: string,
  options: ConvertOptions,
): Promise<Descriptor> {
  return withLease(client, async (lease) => {
    const tree = await readImageTree(client, target, {
      wants: options.wants,
      strict: options.strict,
      skipMissing: true,
    });
    const work = new Conversion(client, lease, options);
    const made = await work.convert(tree);
    await labelChildren(client, made, lease);
    await putImage(client, { name, target: made }, lease);
    return made;
  });
}

class Conversion {
  readonly #client: Client;
  readonly #lease: string;
  readonly #options: ConvertOptions;
  #count = 0;
  #total = 0;

  constructor(client: Client, lease: string, options: ConvertOptions) {
    this.#client = client;
    this.#lease = lease;
    this.#options = options;
  }

  async convert(tree: ImageTree): Promise<Descriptor> {
    const layers = manifestsOf(tree).flatMap((manifest) => manifest.layers);
    this.#total = layers.filter((layer) => this.#isRepacked(layer)).reduce((sum, { size }) => sum + size, 0);
    return await this.#tree(tree);
  }

  #tree(tree: ImageTree): Promise<Descriptor> {
    return tree.kind === "index" ? this.#index(tree.index) : this.#manifest(tree.manifest);
  }

  async #index({ descriptor, document, children }: IndexParts): Promise<Descriptor> {
    const manifests: Descriptor[] = [];
    for (const child of children) manifests.push(await this.#tree(child));
    const mediaType = this.#isOci(descriptor.mediaType) ? mediaTypes.index : descriptor.mediaType;
    return await this.#document({ ...document, mediaType, manifests: manifests.map(plain) }, descriptor, mediaType);
  }

  async #manifest(manifest: ManifestParts): Promise<Descriptor> {
    const { descriptor, document, config, layers } = manifest;
    const oci = this.#isOci(descriptor.mediaType);
    const { diffIds } = parseConfig(await readBlob(this.#client, config), `config ${config.digest}`);
    const converted = await inOrder(layers, (layer, i) => this.#layer(layer, diffIds[i], oci));
    const mediaType = oci ? mediaTypes.manifest : descriptor.mediaType;
    const isDockers = config.mediaType === "application/vnd.docker.container.image.v1+json";
    const newConfig = oci && isDockers ? { ...config, mediaType: mediaTypes.config } : config;
    return await this.#document(
      { ...document, mediaType, config: plain(newConfig), layers: converted.map(plain) },
      descriptor,
      mediaType,
    );
  }

  #layer(layer: Descriptor, diffId: string | undefined, oci: boolean): Promise<Descriptor> | Descriptor {
    const from = packingOf(layer.mediaType);
    if (from === undefined) return layer;
    const to = this.#options.packing ?? from;
    const mediaType = layerType(to, oci);
    if (from === to) return { ...layer, mediaType };
    const onBytes = (count: number): void => {
      this.#count += count;
      this.#options.onProgress?.(this.#count, this.#total);
    };
    return repackLayer(this.#client, layer, { lease: this.#lease, diffId, from, to, mediaType, onBytes });
  }

  #isRepacked({ mediaType }: Descriptor): boolean {
    const from = packingOf(mediaType);
    return from !== undefined && this.#options.packing !== undefined && this.#options.packing !== from;
  }

  /** zstd is only known to OCI's types. */
  #isOci(mediaType: string): boolean {
    return this.#options.oci || this.#options.packing === "zstd" || mediaType.includes(".oci.");
  }

  async #document(value: object, old: Descriptor, mediaType: string): Promise<Descriptor> {
    const bytes = Buffer.from(JSON.stringify(value));
    const { digest, sizeBytes } = await writeDocument(this.#client, bytes, { lease: this.#lease });
    return { ...old, mediaType, digest, size: sizeBytes };
  }
}

/** A descriptor as documents write it, without what is empty. */
function plain({ annotations, platform, ...rest }: Descriptor): object {
  return {
    ...rest,
    ...(platform === undefined ? {} : { platform }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/** Some at once, the answers in order. */
async function inOrder<T, R>(items: readonly T[], action: (item: T, index: number) => Promise<R> | R): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results[at] = await action(items[at] as T, at);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}
