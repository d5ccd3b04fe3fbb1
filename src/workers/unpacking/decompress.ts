import { readSync } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { FaultError, fault, messageOf } from "../../lib/faults.ts";

/** Large pieces: they halve the time of the stream's own bookkeeping. */
const pieceBytes = 1 << 20;
/** As much is read of a file at once. */
const inputBytes = 1 << 18;

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

/** Where a layer's bytes come from: its file, or pieces as they arrive. */
export type LayerBytes = { readonly fd: number } | { readonly pieces: AsyncIterable<Uint8Array> };

/**
 * Reads a layer as the archive that it is. Decompression runs on a thread of its own, beside whoever takes the pieces.
 * Shape: each piece is the taker's only until the next.
 * Errors: invalidArgument (damaged or cut short).
 */
export async function* openLayer(bytes: LayerBytes, compression: LayerCompression): AsyncGenerator<Uint8Array> {
  const pieces = "fd" in bytes ? filePieces(bytes.fd) : bytes.pieces[Symbol.asyncIterator]();
  const head = await firstPiece(pieces);
  const kind = compression === "none" ? "none" : detect(head);
  if (kind === "none") {
    yield head;
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) yield next.value;
  } else yield* decompressed(head, pieces, kind);
}

/** Source: containerd pkg/archive/compression, DetectCompression: gzip's and zstd's magic numbers, zstd's skippable frames. */
function detect(head: Uint8Array): "none" | "gzip" | "zstd" {
  if (head[0] === 0x1f && head[1] === 0x8b && head[2] === 0x08) return "gzip";
  if (head.length < 4) return "none";
  const magic = Buffer.from(head.buffer, head.byteOffset, 4).readUInt32LE(0);
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? "zstd" : "none";
}

/** The first bytes, four at least where there are as many: enough to tell the compression. */
async function firstPiece(pieces: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < 4) {
    const next = await pieces.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

/** A file's bytes; each piece has memory of its own, as the decompressor keeps some while the next is read. */
async function* filePieces(fd: number): AsyncGenerator<Uint8Array> {
  for (;;) {
    const buffer = Buffer.allocUnsafeSlow(inputBytes);
    const count = readSync(fd, buffer, 0, buffer.length, null);
    if (count === 0) return;
    yield buffer.subarray(0, count);
  }
}

async function* decompressed(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
  kind: "gzip" | "zstd",
): AsyncGenerator<Uint8Array> {
  const stream =
    kind === "gzip" ? createGunzip({ chunkSize: pieceBytes }) : createZstdDecompress({ chunkSize: pieceBytes });
  const feeding = feed(stream, head, rest);
  // Its failure reaches the reader through the stream.
  feeding.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const piece of stream) yield piece as Uint8Array;
    await feeding;
  } catch (error) {
    throw fault("invalidArgument", `decompress ${kind}: ${messageOf(error)}`, { cause: error });
  }
}

async function feed(stream: NodeJS.WritableStream, head: Uint8Array, rest: AsyncIterator<Uint8Array>): Promise<void> {
  for (let piece = head; ; ) {
    if (!stream.write(piece)) await new Promise<void>((resolve) => stream.once("drain", resolve));
    const next = await rest.next();
    if (next.done === true) break;
    piece = next.value;
  }
  stream.end();
}
