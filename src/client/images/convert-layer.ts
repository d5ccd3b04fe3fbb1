import { constants, createGunzip, createGzip, createZstdCompress, createZstdDecompress } from "node:zlib";
import { fault, invalidArgument, isFault, unavailable } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { blobBytes } from "../content/blobs.ts";
import { isCompressionError, through } from "./archive-source.ts";
import { BlobWriter } from "./blob-writer.ts";
import { type Descriptor, mediaTypes } from "./documents.ts";

export type LayerPacking = "none" | "gzip" | "zstd";

const ociTypes: Readonly<Record<LayerPacking, string>> = {
  none: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
};
/** docker's own types know no zstd. Source: docker's image-spec v2.2. */
const dockerTypes: Readonly<Record<"none" | "gzip", string>> = {
  none: "application/vnd.docker.image.rootfs.diff.tar",
  gzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

/** Pieces that a message holds: small ones cost a call's way each. */
const chunkSize = 512 * 1024;

/** The media type of a layer that is packed so. */
export function layerType(packing: LayerPacking, oci: boolean): string {
  return oci || packing === "zstd" ? ociTypes[packing] : dockerTypes[packing];
}

/** How a layer of that type is packed; undefined for what is no layer of files. */
export function packingOf(mediaType: string): LayerPacking | undefined {
  if (!/\.(?:layer|diff)\b/.test(mediaType)) return undefined;
  if (/[.+]gzip$/.test(mediaType)) return "gzip";
  if (/[.+]zstd$/.test(mediaType)) return "zstd";
  return mediaType.endsWith(".tar") ? "none" : undefined;
}

export interface RepackOptions {
  readonly lease: string;
  /** What the unpacked bytes must be. */
  readonly diffId: string | undefined;
  readonly from: LayerPacking;
  readonly to: LayerPacking;
  readonly mediaType: string;
  readonly onBytes?: ((count: number) => void) | undefined;
}

/**
 * Writes a layer anew, packed otherwise: by the daemon where it can, and else with its bytes sent here and back.
 * Errors: dataLoss when the unpacked bytes are not what the image's config says; invalidArgument when it is not packed as
 * its type claims.
 */
export async function repackLayer(client: Client, layer: Descriptor, options: RepackOptions): Promise<Descriptor> {
  try {
    return await repackThere(client, layer, options);
  } catch (error) {
    // containerd has no such call.
    if (!isFault(error, "notImplemented")) throw error;
  }
  return repackHere(client, layer, options);
}

async function repackThere(client: Client, layer: Descriptor, options: RepackOptions): Promise<Descriptor> {
  const { lease, diffId = "", mediaType, onBytes } = options;
  const { digest, size, annotations } = layer;
  const wire = { mediaType: layer.mediaType, digest, size: BigInt(size), annotations };
  let told = 0;
  for await (const { offset, layer: made } of client.layers.repack({ layer: wire, mediaType, diffId }, { lease })) {
    onBytes?.(Number(offset) - told);
    told = Number(offset);
    if (made !== undefined) return { ...layer, mediaType, digest: made.digest, size: Number(made.size) };
  }
  throw unavailable(`layer ${digest} was not packed anew`);
}

async function repackHere(client: Client, layer: Descriptor, options: RepackOptions): Promise<Descriptor> {
  const { lease, diffId, from, to, mediaType } = options;
  const hasher = new Bun.CryptoHasher("sha256");
  const plain = hashed(unpacked(counted(blobBytes(client, layer.digest), options.onBytes), from), hasher);
  const writer = new BlobWriter(client, { lease });
  try {
    for await (const bytes of packed(plain, to)) await writer.write(bytes);
    const found = `sha256:${hasher.digest("hex")}`;
    if (diffId !== undefined && found !== diffId)
      throw fault("dataLoss", `layer ${layer.digest} unpacks to ${found}, not to ${diffId}`);
    const { digest, sizeBytes } = await writer.commit({ "containerd.io/uncompressed": found });
    return { ...layer, mediaType, digest, size: sizeBytes };
  } catch (error) {
    await writer.abort();
    if (!isCompressionError(error)) throw error;
    throw invalidArgument(`layer ${layer.digest} is not packed with ${from}`, { cause: error });
  }
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onBytes: ((count: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    onBytes?.(bytes.length);
    yield bytes;
  }
}

async function* hashed(source: AsyncIterable<Uint8Array>, hasher: Bun.CryptoHasher): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    hasher.update(bytes);
    yield bytes;
  }
}

function unpacked(source: AsyncIterable<Uint8Array>, from: LayerPacking): AsyncIterable<Uint8Array> {
  if (from === "none") return source;
  return through(source, from === "gzip" ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize }));
}

function packed(source: AsyncIterable<Uint8Array>, to: LayerPacking): AsyncIterable<Uint8Array> {
  if (to === "none") return source;
  if (to === "gzip") return through(source, createGzip({ chunkSize }));
  return through(source, createZstdCompress({ chunkSize, params: { [constants.ZSTD_c_compressionLevel]: 3 } }));
}
