import { type Descriptor, descriptorJson } from "../../lib/descriptor.ts";
import { fault, invalidArgument, notFound, quote } from "../../lib/faults.ts";
import { dockerConfig, dockerManifest as dockerManifestType, ociIndex } from "../../lib/media-types.ts";
import type { ArchiveContents, ArchivedBlob, WrittenBlob } from "./archive-reader.ts";
import { configPlatform, isObject, parseDescriptors, parseJson, parseObject } from "./documents.ts";
import { compressionOf, dockerLayer, dockerLayerGzip, dockerLayerZstd } from "./media-types.ts";
import { layoutReference, normalizeReference } from "./references.ts";

/** The annotation with an image's full name. Source: containerd core/images/annotations.go. */
export const imageNameAnnotation = "io.containerd.image.name";
/** The annotation with an image's tag. Source: OCI image-spec, annotations.md. */
export const refNameAnnotation = "org.opencontainers.image.ref.name";

/** What an archive's images need of where its blobs went. */
export interface ArchiveStore {
  writeDocument(bytes: Uint8Array): Promise<WrittenBlob>;
  readDocument(blob: WrittenBlob): Promise<Uint8Array>;
  /** A layer to take in place of one of docker's archive, such as the same one compressed. */
  layerFor?(blob: ArchivedBlob): Promise<Descriptor | undefined>;
}

export interface ArchiveIndex {
  /** The index of all the archive's images, in the store. */
  readonly index: Descriptor;
  /** Its images; annotations say their names. */
  readonly manifests: readonly Descriptor[];
}

/**
 * Makes out what images an archive holds: an OCI layout's, or docker's, for which manifests are written.
 * Errors: invalidArgument (no image archive, or a broken one).
 * Source: containerd core/images/archive/importer.go, ImportIndex; docker's image-spec v1.2, manifest.json.
 */
export async function archiveIndex(contents: ArchiveContents, store: ArchiveStore): Promise<ArchiveIndex> {
  const layout = contents.documents.get("oci-layout");
  const index = contents.documents.get("index.json");
  if (layout !== undefined) {
    const version = parseObject(layout, "oci-layout")["imageLayoutVersion"];
    if (version !== "1.0.0") throw invalidArgument(`unsupported OCI version ${String(version)}`);
    if (index === undefined) throw notFound("missing index.json in OCI layout 1.0.0");
    return layoutIndex(index, store);
  }
  const manifest = contents.documents.get("manifest.json");
  if (manifest !== undefined) return dockerIndex(contents, manifest, store);
  if (index !== undefined) return layoutIndex(index, store);
  throw fault("invalidArgument", "unrecognized image format: archive has neither index.json nor manifest.json");
}

async function layoutIndex(bytes: Uint8Array, store: ArchiveStore): Promise<ArchiveIndex> {
  const document = parseObject(bytes, "index.json");
  const manifests = parseDescriptors(document["manifests"], "index.json: manifests");
  const { digest, sizeBytes } = await store.writeDocument(bytes);
  return { index: { mediaType: ociIndex, digest, sizeBytes }, manifests };
}

interface DockerEntry {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

/** The images of docker's manifest.json. Errors: invalidArgument. */
export function dockerEntries(bytes: Uint8Array): DockerEntry[] {
  const entries = parseJson(bytes, "manifest.json");
  if (!Array.isArray(entries) || entries.length > 4096) throw invalidArgument("manifest.json is not a list of images");
  return entries.map((entry: unknown) => {
    if (!isObject(entry) || typeof entry["Config"] !== "string")
      throw invalidArgument("manifest.json: an image has no config");
    return { config: entry["Config"], tags: textList(entry["RepoTags"]), layers: textList(entry["Layers"]) };
  });
}

async function dockerIndex(contents: ArchiveContents, bytes: Uint8Array, store: ArchiveStore): Promise<ArchiveIndex> {
  const manifests: Descriptor[] = [];
  for (const entry of dockerEntries(bytes)) {
    const bare = await dockerManifest(contents, entry, store);
    if (entry.tags.length === 0) manifests.push(bare);
    for (const tag of entry.tags) {
      const name = normalizeReference(tag);
      const annotations = new Map([
        [imageNameAnnotation, name],
        [refNameAnnotation, layoutReference(name)],
      ]);
      manifests.push({ ...bare, annotations });
    }
  }
  const document = { schemaVersion: 2, manifests: manifests.map(descriptorJson) };
  const { digest, sizeBytes } = await store.writeDocument(jsonBytes(document));
  return { index: { mediaType: ociIndex, digest, sizeBytes }, manifests };
}

async function dockerManifest(contents: ArchiveContents, entry: DockerEntry, store: ArchiveStore): Promise<Descriptor> {
  const config = archivedBlob(contents, entry.config);
  const layers: Descriptor[] = [];
  for (const name of entry.layers) {
    const blob = archivedBlob(contents, name);
    layers.push((await store.layerFor?.(blob)) ?? described(blob, dockerLayerType(blob.head)));
  }
  const document = {
    schemaVersion: 2,
    mediaType: dockerManifestType,
    config: descriptorJson(described(config, dockerConfig)),
    layers: layers.map(descriptorJson),
  };
  const { digest, sizeBytes } = await store.writeDocument(jsonBytes(document));
  const platform = configPlatform(parseObject(await store.readDocument(config), `config ${config.digest}`));
  return { mediaType: dockerManifestType, digest, sizeBytes, platform };
}

function described({ digest, sizeBytes }: WrittenBlob, mediaType: string): Descriptor {
  return { mediaType, digest, sizeBytes };
}

/** The blob of a name, through the links that lead to it. Errors: invalidArgument when the archive lacks it. */
export function archivedBlob(contents: ArchiveContents, name: string): ArchivedBlob {
  let at = name;
  // Links lead on to other links at most this often.
  for (let step = 0; step < 8; step++) {
    const blob = contents.blobs.get(at);
    if (blob !== undefined) return blob;
    const next = contents.links.get(at);
    if (next === undefined) break;
    at = next;
  }
  throw invalidArgument(`archive lacks ${quote(name)}, which its manifest names`);
}

/** The type of a layer of docker's archive, by its first bytes. */
export function dockerLayerType(head: Uint8Array): string {
  const compression = compressionOf(head);
  if (compression === "none") return dockerLayer;
  return compression === "gzip" ? dockerLayerGzip : dockerLayerZstd;
}

function textList(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === "string") : [];
}

function jsonBytes(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
