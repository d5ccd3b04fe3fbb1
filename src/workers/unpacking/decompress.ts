import { FaultError } from "../../lib/faults.ts";
import { type CompressionKind, Decompressor } from "./decompressor.ts";

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

/** A layer's bytes, in order; each piece is the taker's only until the next. */
export type LayerPieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Reads a layer as the archive that it is.
 * Shape: each piece is the taker's only until the next.
 * Errors: invalidArgument (damaged or cut short).
 */
export async function* openLayer(pieces: LayerPieces, compression: LayerCompression): AsyncGenerator<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  let reader: ((piece: Uint8Array) => Iterable<Uint8Array>) | undefined;
  let decompressor: Decompressor | undefined;
  try {
    for await (const piece of pieces) {
      if (reader !== undefined) {
        yield* reader(piece);
        continue;
      }
      head = head.length === 0 ? piece : Buffer.concat([head, piece]);
      // Enough to tell the compression, but for what is shorter as a whole.
      if (head.length < magicBytes) {
        head = new Uint8Array(head);
        continue;
      }
      const kind = compression === "none" ? undefined : detect(head);
      decompressor = kind === undefined ? undefined : new Decompressor(kind);
      reader = decompressor === undefined ? (whole) => [whole] : decompressor.push.bind(decompressor);
      yield* reader(head);
    }
    if (reader === undefined) yield head;
    else if (decompressor !== undefined) yield* decompressor.finish();
  } finally {
    decompressor?.[Symbol.dispose]();
  }
}

const magicBytes = 4;

/** Source: containerd pkg/archive/compression, DetectCompression: gzip's and zstd's magic numbers, zstd's skippable frames. */
function detect(head: Uint8Array): CompressionKind | undefined {
  if (head[0] === 0x1f && head[1] === 0x8b && head[2] === 0x08) return "gzip";
  const magic = Buffer.from(head.buffer, head.byteOffset, magicBytes).readUInt32LE(0);
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? "zstd" : undefined;
}
