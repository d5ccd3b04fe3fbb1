import { type Descriptor, parseDescriptor } from "../../lib/descriptor.ts";
import { fault, invalidArgument, messageOf } from "../../lib/faults.ts";
import { isIndexType, isManifestType } from "../../lib/media-types.ts";
import { normalizePlatform, type Platform } from "../../lib/platforms.ts";

/** A manifest: a config, which may be an artifact's, and the layers. */
export interface Manifest {
  readonly kind: "manifest";
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** An index: manifests and indexes, each for a platform. */
export interface Index {
  readonly kind: "index";
  readonly manifests: readonly Descriptor[];
}

/** A manifest, index or config larger than this is refused. Source: containerd limits manifests to 8 MiB. */
export const maxDocumentBytes: number = 8 * 1024 * 1024;
/** More children than this are not meant. */
const maxChildren = 4096;

export type JsonObject = Readonly<Record<string, unknown>>;

/** Parses JSON that came from an image. Errors: invalidArgument that names the document. */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw fault("invalidArgument", `${name} is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

/** Parses a JSON object that came from an image. Errors: invalidArgument that names the document. */
export function parseObject(bytes: Uint8Array, name: string): JsonObject {
  const value = parseJson(bytes, name);
  if (isObject(value)) return value;
  throw invalidArgument(`${name} is not a JSON object`);
}

/**
 * Reads a manifest or an index, which must be what its media type says.
 * Errors: invalidArgument that names the document.
 * Source: containerd core/images/image.go, validateMediaType: a document that is both has been used to deceive.
 */
export function parseImageDocument(bytes: Uint8Array, mediaType: string, name: string): Manifest | Index {
  const document = parseObject(bytes, name);
  const own = document["mediaType"];
  const ownType = typeof own === "string" ? own : "";
  if (isFilled(document["fsLayers"])) throw invalidArgument(`${name}: media-type: schema 1 not supported`);
  if (isManifestType(mediaType)) {
    if (isFilled(document["manifests"]) || isIndexType(ownType)) {
      throw invalidArgument(`${name}: media-type: expected manifest but found index (${mediaType})`);
    }
    const config = parseDescriptor(document["config"], `${name}: config`);
    return { kind: "manifest", config, layers: parseDescriptors(document["layers"] ?? [], `${name}: layers`) };
  }
  if (isFilled(document["config"]) || isFilled(document["layers"]) || isManifestType(ownType)) {
    throw invalidArgument(`${name}: media-type: expected index but found manifest (${mediaType})`);
  }
  return { kind: "index", manifests: parseDescriptors(document["manifests"] ?? [], `${name}: manifests`) };
}

/** What a document refers to, config first; nothing for one that is neither manifest nor index. Errors: invalidArgument. */
export function childrenIn(bytes: Uint8Array, { mediaType, digest }: Descriptor): readonly Descriptor[] {
  if (!isManifestType(mediaType) && !isIndexType(mediaType)) return [];
  const document = parseImageDocument(bytes, mediaType, `blob ${digest}`);
  return document.kind === "index" ? document.manifests : [document.config, ...document.layers];
}

/** The descriptors of a document's list. Errors: invalidArgument when it is no list, or too long to be meant. */
export function parseDescriptors(value: unknown, place: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalidArgument(`${place}: not a list`);
  if (value.length > maxChildren) throw invalidArgument(`${place}: ${value.length} entries`);
  return value.map((entry, i) => parseDescriptor(entry, `${place}[${i}]`));
}

/** The platform that a config says its image is made for. */
export function configPlatform(config: JsonObject): Platform {
  const text = (key: string): string => {
    const value = config[key];
    return typeof value === "string" ? value : "";
  };
  const features = config["os.features"];
  return normalizePlatform({
    os: text("os"),
    architecture: text("architecture"),
    variant: text("variant"),
    osVersion: text("os.version"),
    osFeatures: Array.isArray(features) ? features.filter((one): one is string => typeof one === "string") : [],
  });
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFilled(value: unknown): boolean {
  return value !== undefined && value !== null;
}
