import { archivedBlob } from "../../core/oci/index.ts";
import { invalidArgument, isFault, messageOf, quote } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { type ArchiveContents, readArchive } from "./archive-contents.ts";
import { writeDocument } from "./blob-writer.ts";
import { labelChildren } from "./child-labels.ts";
import { checkDescriptors, type Descriptor, isObject, mediaTypes, parseObject, textList } from "./documents.ts";
import { hostArchitecture, toWire } from "./image-config.ts";
import { withLease } from "./lease.ts";
import { nameCandidates } from "./names.ts";

export interface ImportOptions {
  /** A name for an image that the archive leaves nameless. */
  readonly name?: string | undefined;
  /** Called for each image before it gets its name: what fails here fails the import. */
  readonly onImage?: ((image: ImportedImage, lease: string) => Promise<void>) | undefined;
}

export interface ImportedImage {
  readonly name: string;
  readonly target: Descriptor;
}

/**
 * Imports the images of an archive: docker's (`docker save`, old and new) or an OCI layout.
 * Shape: `chunks` are the plain tar's bytes.
 * Errors: invalidArgument (no image archive, or a broken one).
 * Effects: an image of the same name is pointed at the new content; a lease keeps blobs until their image is there.
 * After a failure nothing is named, and the daemon collects what was written.
 */
export function importArchive(
  client: Client,
  chunks: AsyncIterable<Uint8Array>,
  options: ImportOptions = {},
): Promise<ImportedImage[]> {
  return withLease(client, async (lease) => {
    const contents = await readArchive(client, chunks, lease);
    const found = contents.documents.has("index.json")
      ? layoutImages(contents, options)
      : await dockerImages(client, contents, lease, options);
    if (found.length === 0) throw invalidArgument("archive holds no image");
    for (const image of found) {
      await labelChildren(client, image.target, lease).catch((error: unknown) => {
        throw isFault(error, "notFound")
          ? invalidArgument(`archive lacks a part of image ${quote(image.name)}: ${messageOf(error)}`, { cause: error })
          : error;
      });
      await options.onImage?.(image, lease);
    }
    for (const image of found) await putImage(client, image, lease);
    return found;
  });
}

/** Creates an image, or points the one of that name somewhere else. */
export async function putImage(client: Client, image: ImportedImage, lease?: string): Promise<void> {
  const message = { name: image.name, target: toWire(image.target) };
  try {
    await client.images.create({ image: message }, { lease });
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw error;
    await client.images.update({ image: message, updateMask: { paths: ["target"] } }, { lease });
  }
}

/** Source: OCI image-spec, image-layout.md; containerd core/images/archive, annotation io.containerd.image.name. */
function layoutImages(contents: ArchiveContents, options: ImportOptions): ImportedImage[] {
  const index = parseObject(contents.documents.get("index.json") ?? new Uint8Array(0), "index.json");
  const manifests = checkDescriptors(index["manifests"], "index.json: manifests");
  const tags = dockerTags(contents);
  return manifests.flatMap((target, i) => {
    const full = target.annotations["io.containerd.image.name"];
    const short = target.annotations["org.opencontainers.image.ref.name"];
    const { annotations: _, ...bare } = target;
    const named = full ?? (short === undefined ? undefined : shortName(short, options.name)) ?? tags[i] ?? options.name;
    if (named === undefined) throw invalidArgument(`index.json: image ${i + 1} has no name; give it one`);
    return [{ name: fullName(named), target: { ...bare, annotations: {} } }];
  });
}

/** A tag alone, as skopeo and umoci write it, belongs to the name that the caller gives. */
function shortName(reference: string, base: string | undefined): string | undefined {
  if (/[/:@]/.test(reference)) return reference;
  return base === undefined ? undefined : base.includes(":") ? base : `${base}:${reference}`;
}

/** The name that docker would give it: with its host and tag. */
function fullName(name: string): string {
  return nameCandidates(name).at(-1) ?? name;
}

function dockerTags(contents: ArchiveContents): string[] {
  const bytes = contents.documents.get("manifest.json");
  return bytes === undefined ? [] : dockerEntries(bytes).flatMap(({ tags }) => tags);
}

interface DockerEntry {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

/** Source: docker's image-spec v1.2, manifest.json. */
function dockerEntries(bytes: Uint8Array): DockerEntry[] {
  const wrapped = parseObject(Buffer.concat([Buffer.from('{"entries":'), bytes, Buffer.from("}")]), "manifest.json");
  const entries = wrapped["entries"];
  if (!Array.isArray(entries) || entries.length > 4096) throw invalidArgument("manifest.json is not a list of images");
  return entries.map((entry: unknown) => {
    if (!isObject(entry) || typeof entry["Config"] !== "string")
      throw invalidArgument("manifest.json: an image has no config");
    return { config: entry["Config"], tags: textList(entry["RepoTags"]), layers: textList(entry["Layers"]) };
  });
}

async function dockerImages(
  client: Client,
  contents: ArchiveContents,
  lease: string,
  options: ImportOptions,
): Promise<ImportedImage[]> {
  const bytes = contents.documents.get("manifest.json");
  if (bytes === undefined)
    throw invalidArgument("archive has neither index.json nor manifest.json: it is no image archive");
  const images: ImportedImage[] = [];
  for (const entry of dockerEntries(bytes)) {
    const target = await dockerManifest(client, contents, entry, lease);
    const names = entry.tags.length > 0 ? entry.tags : options.name === undefined ? [] : [options.name];
    if (names.length === 0) throw invalidArgument(`image ${entry.config} has no name; give it one`);
    for (const name of names) images.push({ name: fullName(name), target });
  }
  return images;
}

async function dockerManifest(
  client: Client,
  contents: ArchiveContents,
  entry: DockerEntry,
  lease: string,
): Promise<Descriptor> {
  const descriptorOf = (name: string, mediaType: string): object => {
    const blob = archivedBlob(contents, name);
    return { mediaType, digest: blob.digest, size: blob.sizeBytes };
  };
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: descriptorOf(entry.config, mediaTypes.config),
    layers: entry.layers.map((name) => descriptorOf(name, layerType(archivedBlob(contents, name).head))),
  };
  const written = await writeDocument(client, Buffer.from(JSON.stringify(document)), { lease });
  return {
    mediaType: mediaTypes.manifest,
    digest: written.digest,
    size: written.sizeBytes,
    platform: { os: "linux", architecture: hostArchitecture },
    annotations: {},
  };
}

/** Tells a layer's compression by its first bytes. Source: RFC 1952, RFC 8878. */
export function layerType(head: Uint8Array): string {
  if (head[0] === 0x1f && head[1] === 0x8b) return mediaTypes.layerGzip;
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return mediaTypes.layerZstd;
  return mediaTypes.layer;
}
