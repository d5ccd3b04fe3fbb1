import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { FaultError, invalidArgument, isFault } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import { isConfigType, isLayerType, isManifestType } from "../../lib/media-types.ts";
import type { ContentStore } from "../content/index.ts";
import {
  type ArchivedBlob,
  type ArchiveIndex,
  archiveIndex,
  compressionOf,
  dockerLayerGzip,
  dockerLayerType,
  plainBytes,
  readArchive,
  type WrittenBlob,
} from "../oci/index.ts";
import type { UnpackTarget } from "../unpack/index.ts";
import { gzippedLayer } from "./compressed-layer.ts";
import { openContentSink } from "./content-sink.ts";
import { imageNames } from "./image-references.ts";
import { childrenOf, filterOf, labelledChildren, maxDepth, readDocument, type TreeFilter } from "./image-tree.ts";
import { saveImages, type TransferParts, unpackTargets, verifyImage } from "./parts.ts";
import { ProgressTracker } from "./progress-tracker.ts";
import type { ImportEndpoint, OnTransferProgress, StoreEndpoint } from "./transfer.ts";

/** Brings in the images of an archive. Source: containerd core/transfer/local/import.go. */
export async function importImages(
  ctx: Ctx,
  parts: TransferParts,
  source: ImportEndpoint,
  store: StoreEndpoint,
  tell: OnTransferProgress,
): Promise<void> {
  tell({ event: "Importing" });
  const { index, manifests } = await readImages(ctx, parts.content, source);
  const named = [
    { descriptor: index, fromArchive: false },
    ...manifests.map((descriptor) => ({ descriptor, fromArchive: true })),
  ].filter(({ descriptor, fromArchive }) => hasName(store, descriptor, fromArchive, parts.clock()));
  for (const { descriptor, fromArchive } of named) {
    for (const { name } of imageNames(store, descriptor, fromArchive, parts.clock())) {
      await verifyImage(ctx, parts, "import", name, descriptor);
    }
  }
  {
    using tracker = new ProgressTracker(store.name, "importing", tell);
    const walk = { parts, targets: unpackTargets(ctx, parts, store), filter: filterOf(store), tracker };
    const children = await labelledChildren(ctx, parts.content, index, manifests, walk.filter);
    if (children.length === 0) throw new FaultError("unknown", "image might be filtered out");
    for (const child of children) await takeIn(ctx, walk, child, 1);
  }
  for (const { descriptor, fromArchive } of named) {
    for (const { name } of await saveImages(ctx, parts, store, descriptor, fromArchive)) {
      tell({ event: "saved", name, descriptor });
    }
  }
  tell({ event: "Completed import" });
}

/** Reads an archive into the content store. Errors: invalidArgument (no image archive, or a broken one). */
async function readImages(ctx: Ctx, content: ContentStore, source: ImportEndpoint): Promise<ArchiveIndex> {
  const chunks = source.mediaType === "" ? plainBytes(source.bytes) : source.bytes;
  const contents = await readArchive(chunks, (request) => openContentSink(ctx, content, request));
  return archiveIndex(contents, {
    writeDocument: (bytes) => writeDocument(ctx, content, bytes),
    readDocument: (blob) => readDocument(ctx, content, blob),
    layerFor: (blob) => layerFor(ctx, content, blob, source.forceCompress),
  });
}

async function writeDocument(ctx: Ctx, content: ContentStore, bytes: Uint8Array): Promise<WrittenBlob> {
  const sink = await openContentSink(ctx, content, { name: "document", expected: undefined, sizeBytes: bytes.length });
  await sink.write(bytes);
  return sink.commit();
}

/**
 * A layer of docker's archive, which mostly is not compressed: the same one compressed, when the store has it or when
 * that is asked for. Source: containerd core/images/archive/importer.go, resolveLayers.
 */
async function layerFor(
  ctx: Ctx,
  content: ContentStore,
  blob: ArchivedBlob,
  compress: boolean,
): Promise<Descriptor | undefined> {
  const [known] = content.list(ctx, [`labels."containerd.io/uncompressed"==${blob.digest}`]);
  if (known !== undefined) {
    let head: Uint8Array = new Uint8Array(0);
    for await (const piece of content.read(ctx, known.digest, 0, 8)) head = Buffer.concat([head, piece]);
    const mediaType = dockerLayerType(head);
    return { mediaType, digest: known.digest, sizeBytes: known.sizeBytes };
  }
  if (!compress || compressionOf(blob.head) !== "none") return undefined;
  const { digest, sizeBytes } = await gzippedLayer(ctx, content, blob.digest);
  return { mediaType: dockerLayerGzip, digest, sizeBytes };
}

interface ImportWalk {
  readonly parts: TransferParts;
  readonly targets: readonly UnpackTarget[];
  readonly filter: TreeFilter;
  readonly tracker: ProgressTracker;
}

/** Labels what an image consists of, all of which has to be there, and unpacks it where that is wanted. */
async function takeIn(ctx: Ctx, walk: ImportWalk, descriptor: Descriptor, depth: number): Promise<void> {
  if (depth > maxDepth) throw invalidArgument(`${descriptor.digest}: indexes are nested too deep`);
  const { parts, targets, filter } = walk;
  const all = await childrenOf(ctx, parts.content, descriptor);
  const children = await labelledChildren(ctx, parts.content, descriptor, all, filter);
  for (const child of children) await takeIn(ctx, walk, child, depth + 1);
  if (!isManifestType(descriptor.mediaType) || targets.length === 0) return;
  const isTyped = (types: (target: UnpackTarget) => boolean): boolean => targets.some(types);
  const layers = children.filter(
    ({ mediaType }) => isLayerType(mediaType) || isTyped(({ layerTypes }) => layerTypes?.includes(mediaType) === true),
  );
  const config = children.find(
    ({ mediaType }) => isConfigType(mediaType) || isTyped(({ configType }) => configType === mediaType),
  );
  if (config === undefined || layers.length === 0) return;
  await unpackPresent(ctx, walk, config, layers);
}

async function unpackPresent(
  ctx: Ctx,
  { parts, targets, tracker }: ImportWalk,
  config: Descriptor,
  layers: readonly Descriptor[],
): Promise<void> {
  // Layers that are not in the archive fail here, by name.
  const fetch = async (of: Ctx, { digest }: Descriptor): Promise<void> => void parts.content.info(of, digest);
  await parts.unpacker.unpack(
    ctx,
    { config, layers },
    targets,
    { fetch },
    {
      extracting: (layer, offset) => {
        tracker.exists(layer);
        tracker.extracting(layer, offset);
      },
      extracted: (layer) => tracker.extracted(layer),
    },
  );
}

function hasName(store: StoreEndpoint, descriptor: Descriptor, fromArchive: boolean, now: Instant): boolean {
  try {
    return imageNames(store, descriptor, fromArchive, now).length > 0;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw error;
  }
}
