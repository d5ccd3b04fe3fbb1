import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { FaultError, invalidArgument, isFault, messageOf, notFound, notImplemented } from "../../lib/faults.ts";
import { isIndexType, isManifestType, isNonDistributable } from "../../lib/media-types.ts";
import { hostPlatform, orderedPlatforms, type PlatformMatcher, strictPlatform } from "../../lib/platforms.ts";
import type { ContentStore } from "../content/index.ts";
import {
  familiarReference,
  imageNameAnnotation,
  layoutReference,
  parseImageDocument,
  refNameAnnotation,
} from "../oci/index.ts";
import {
  type ArchiveRecord,
  blobName,
  blobRecord,
  folderRecords,
  indexRecord,
  layoutRecord,
  writeArchive,
} from "./archive-writer.ts";
import { childrenOf, maxDepth, readDocument, sorted } from "./image-tree.ts";
import { fromWire, type TransferParts } from "./parts.ts";
import type { ExportEndpoint, OnTransferProgress, StoreEndpoint } from "./transfer.ts";

const sourcePrefix = "containerd.io/distribution.source";

/** Writes images as an archive that is an OCI layout and docker's at once. Source: containerd core/transfer/local/export.go. */
export async function exportImages(
  ctx: Ctx,
  parts: TransferParts,
  store: StoreEndpoint,
  destination: ExportEndpoint,
  tell: OnTransferProgress,
): Promise<void> {
  tell({ event: "Exporting" });
  const images = imageNamesOf(store).map((name) => {
    const annotations = [
      [imageNameAnnotation, name],
      [refNameAnnotation, layoutReference(name)],
    ] as const;
    const target = fromWire(parts.images.get(ctx, name).target, name);
    return { ...target, annotations: new Map([...(target.annotations ?? []), ...annotations]) };
  });
  const { content } = parts;
  const records = await new Selection(ctx, content, destination).records(images);
  await writeArchive(ctx, content, records, destination.sink);
  destination.sink.close();
  tell({ event: "Completed export" });
}

function imageNamesOf({ name, extraReferences }: StoreEndpoint): string[] {
  if (extraReferences.some(({ isPrefix }) => isPrefix)) throw notImplemented("prefix lookup on export not implemented");
  return [...(name === "" ? [] : [name]), ...extraReferences.map((reference) => reference.name)];
}

interface DockerImage {
  readonly manifest: Descriptor;
  readonly names: string[];
}

/** What of some images goes into an archive. Source: containerd core/images/archive/exporter.go, Export. */
class Selection {
  readonly #ctx: Ctx;
  readonly #content: ContentStore;
  readonly #options: ExportEndpoint;
  readonly #platform: PlatformMatcher;
  readonly #docker = new Map<string, DockerImage>();
  readonly #records: ArchiveRecord[] = [layoutRecord()];

  constructor(ctx: Ctx, content: ContentStore, options: ExportEndpoint) {
    this.#ctx = ctx;
    this.#content = content;
    this.#options = options;
    this.#platform = options.platforms.length > 0 ? orderedPlatforms(options.platforms) : strictPlatform(hostPlatform);
  }

  async records(images: readonly Descriptor[]): Promise<readonly ArchiveRecord[]> {
    const listed = images.flatMap((image) => this.#withSources(image) ?? []);
    const resolved = new Map<string, string>();
    for (const image of listed) {
      if (!isManifestType(image.mediaType) && !isIndexType(image.mediaType)) {
        throw invalidArgument("only manifests may be exported");
      }
      if (!resolved.has(image.digest)) {
        resolved.set(
          image.digest,
          isIndexType(image.mediaType) ? await this.#index(image) : await this.#manifest(image),
        );
      }
      const name = image.annotations?.get(imageNameAnnotation) ?? "";
      if (name !== "") this.#docker.get(resolved.get(image.digest) ?? "")?.names.push(name);
    }
    this.#records.push(indexRecord(listed));
    if (!this.#options.skipCompatibilityManifest && this.#docker.size > 0)
      this.#records.push(await this.#dockerRecord());
    return [...this.#records, ...folderRecords(this.#records)];
  }

  async #manifest(manifest: Descriptor): Promise<string> {
    await this.#add(manifest, 0);
    this.#docker.set(manifest.digest, { manifest, names: [] });
    return manifest.digest;
  }

  /** Adds what is wanted of an index; answers which manifest stands for it in docker's list, if any. */
  async #index(index: Descriptor): Promise<string> {
    this.#records.push(blobRecord(index));
    const fitting: Descriptor[] = [];
    for (const manifest of await childrenOf(this.#ctx, this.#content, index)) {
      const fits = manifest.platform === undefined || this.#platform.matches(manifest.platform);
      if (fits) fitting.push(manifest);
      if (fits || this.#options.allPlatforms) await this.#add(manifest, 1);
    }
    const [best] = sorted(fitting, this.#platform);
    if (best === undefined) throw notFound("no manifest found for platform");
    if (!this.#docker.has(best.digest)) this.#docker.set(best.digest, { manifest: best, names: [] });
    return best.digest;
  }

  async #add(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > maxDepth) throw invalidArgument(`${descriptor.digest}: indexes are nested too deep`);
    if (this.#options.skipNonDistributable && isNonDistributable(descriptor.mediaType)) return;
    this.#records.push(blobRecord(descriptor));
    for (const child of await childrenOf(this.#ctx, this.#content, descriptor)) await this.#add(child, depth + 1);
  }

  /** With annotations that tell where it came from; undefined for what is not there. */
  #withSources(image: Descriptor): Descriptor | undefined {
    try {
      const { labels } = this.#content.info(this.#ctx, image.digest);
      const sources = [...labels].filter(([key]) => key.startsWith(sourcePrefix));
      return { ...image, annotations: new Map([...(image.annotations ?? []), ...sources].toSorted(byKey)) };
    } catch (error) {
      if (!isFault(error, "notFound")) throw error;
      this.#ctx.log.warn("image is left out of the export", { digest: image.digest, error: messageOf(error) });
      return undefined;
    }
  }

  /** docker's manifest.json. */
  async #dockerRecord(): Promise<ArchiveRecord> {
    const entries: object[] = [];
    for (const { manifest, names } of this.#docker.values()) {
      const bytes = await readDocument(this.#ctx, this.#content, manifest);
      const document = parseImageDocument(bytes, manifest.mediaType, `blob ${manifest.digest}`);
      if (document.kind !== "manifest") throw new FaultError("invalidArgument", `${manifest.digest} is no manifest`);
      entries.push({
        Config: blobName(document.config.digest),
        RepoTags: names.length === 0 ? null : names.map(familiarReference),
        Layers: document.layers.map(({ digest }) => blobName(digest)),
      });
    }
    return { name: "manifest.json", mode: 0o644, body: { bytes: Buffer.from(JSON.stringify(entries)) } };
  }
}

function byKey([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}
