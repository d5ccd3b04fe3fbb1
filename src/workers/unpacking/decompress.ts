import { readSync } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { FaultError, fault, messageOf } from "../../lib/faults.ts";

/** Large pieces: they halve the time of the stream's own bookkeeping. */
const pieceBytes = 1 << 20;

export type LayerCompression = "none" | "detect";

/**
 * Whether a layer's media type leaves room for compression, which its first bytes then tell.
 * Errors: unknown (no layer's type), as containerd answers for a type that no processor takes.
 * Source: containerd core/images/mediatypes.go, DiffCompression; core/diff/stream.go.
 */
export function compressionOf(mediaType: string): LayerCompression {
  const [base = "", ...suffixes] = mediaType.split("+");
  const docker = /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?$/.test(base);
  if (docker && suffixes.length === 0) return "detect";
  const oci = /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar$/.test(base);
  const last = suffixes.toSorted().at(-1);
  if (oci && (last === "gzip" || last === "zstd")) return "detect";
  if (oci && last === undefined) return "none";
  throw new FaultError("unknown", `failed to get stream processor for ${mediaType}: no processor for media-type`);
}

/**
 * Reads a layer's file as the archive that it is. Decompression runs on a thread of its own, beside whoever takes the pieces.
 * Shape: each piece is the taker's only until the next.
 * Errors: invalidArgument (damaged or cut short).
 */
export async function* openLayer(fd: number, compression: LayerCompression): AsyncGenerator<Uint8Array> {
  const first = Buffer.allocUnsafeSlow(pieceBytes);
  const count = readSync(fd, first, 0, first.length, null);
  const head = first.subarray(0, count);
  const kind = compression === "none" ? "none" : detect(head);
  if (kind === "none") yield* plainPieces(fd, head);
  else yield* decompressed(fd, head, kind);
}

/** Source: containerd pkg/archive/compression, DetectCompression: gzip's and zstd's magic numbers, zstd's skippable frames. */
function detect(head: Buffer): "none" | "gzip" | "zstd" {
  if (head[0] === 0x1f && head[1] === 0x8b && head[2] === 0x08) return "gzip";
  if (head.length < 4) return "none";
  const magic = head.readUInt32LE(0);
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? "zstd" : "none";
}

async function* plainPieces(fd: number, head: Buffer): AsyncGenerator<Uint8Array> {
  let count = head.length;
  const buffer = Buffer.from(head.buffer, head.byteOffset, pieceBytes);
  while (count > 0) {
    yield buffer.subarray(0, count);
    count = readSync(fd, buffer, 0, buffer.length, null);
  }
}

async function* decompressed(fd: number, head: Buffer, kind: "gzip" | "zstd"): AsyncGenerator<Uint8Array> {
  const stream =
    kind === "gzip" ? createGunzip({ chunkSize: pieceBytes }) : createZstdDecompress({ chunkSize: pieceBytes });
  const feeding = feed(stream, fd, head);
  // Its failure reaches the reader through the stream.
  feeding.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const piece of stream) yield piece as Uint8Array;
    await feeding;
  } catch (error) {
    throw fault("invalidArgument", `decompress ${kind}: ${messageOf(error)}`, { cause: error });
  }
}

async function feed(stream: NodeJS.WritableStream, fd: number, head: Buffer): Promise<void> {
  let piece = head;
  while (piece.length > 0) {
    if (!stream.write(piece)) await new Promise<void>((resolve) => stream.once("drain", resolve));
    const next = Buffer.allocUnsafeSlow(pieceBytes / 4);
    piece = next.subarray(0, readSync(fd, next, 0, next.length, null));
  }
  stream.end();
}
