import { fault, invalidArgument, isFault, messageOf, quote } from "../../lib/faults.ts";

/** Where a blob is and what it is. Source: OCI image-spec, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string } | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

export const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  layerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  layerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
} as const;

/** A manifest, index or config larger than this is refused. Source: containerd limits manifests to 8 MiB. */
export const maxDocumentBytes: number = 8 * 1024 * 1024;

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** True for a sha256 digest as OCI writes it. */
export function isDigest(value: unknown): value is string {
  return typeof value === "string" && digestPattern.test(value);
}

export function isIndex(mediaType: string): boolean {
  return mediaType === mediaTypes.index || mediaType === mediaTypes.dockerIndex;
}

/** Parses a JSON object that came from an image. Errors: invalidArgument that names the document. */
export function parseObject(bytes: Uint8Array, name: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isObject(value)) return value;
    throw invalidArgument(`${name} is not a JSON object`);
  } catch (error) {
    if (isFault(error, "invalidArgument")) throw error;
    throw fault("invalidArgument", `${name} is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Checks a descriptor inside a document. Errors: invalidArgument that names the place. */
export function checkDescriptor(value: unknown, place: string): Descriptor {
  if (!isObject(value)) throw invalidArgument(`${place}: not a descriptor`);
  const { mediaType, digest, size, platform, annotations } = value;
  if (!isDigest(digest)) throw invalidArgument(`${place}: digest ${quote(String(digest))} is malformed`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalidArgument(`${place}: size of ${quote(digest)} is malformed`);
  }
  return {
    mediaType: typeof mediaType === "string" ? mediaType : "",
    digest,
    size,
    annotations: textMap(annotations),
    platform: isObject(platform)
      ? {
          os: textOf(platform["os"]),
          architecture: textOf(platform["architecture"]),
          ...(typeof platform["variant"] === "string" ? { variant: platform["variant"] } : {}),
        }
      : undefined,
  };
}

/** The descriptors of a document's list. Errors: invalidArgument when it is no list, or too long to be meant. */
export function checkDescriptors(value: unknown, place: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalidArgument(`${place}: not a list`);
  if (value.length > 4096) throw invalidArgument(`${place}: ${value.length} entries`);
  return value.map((entry, i) => checkDescriptor(entry, `${place}[${i}]`));
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function textList(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === "string") : [];
}

/** A map of texts, without a prototype, so that any key is only a key. */
export function textMap(value: unknown): Record<string, string> {
  const map: Record<string, string> = Object.create(null);
  if (isObject(value)) for (const [key, text] of Object.entries(value)) if (typeof text === "string") map[key] = text;
  return map;
}

/** The sha256 of bytes, as OCI writes it. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}
