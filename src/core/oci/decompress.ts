import type { Transform } from "node:stream";
import { fault, messageOf } from "../../lib/faults.ts";
import { compressionOf } from "./media-types.ts";

/**
 * The plain bytes of what may be compressed with gzip or zstd, told by the first bytes.
 * Shape: both the source's pieces and what comes of them are their taker's only until the next.
 * Errors: invalidArgument (damaged or cut short); what the source says.
 */
export async function* plainBytes(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    let head: Uint8Array = new Uint8Array(0);
    for (let next = await iterator.next(); ; next = await iterator.next()) {
      if (next.done === true) break;
      head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
      if (head.length >= 4) break;
    }
    if (head.length === 0) return;
    const whole = prepended(head, iterator);
    const compression = compressionOf(head);
    if (compression === "none") yield* whole;
    else yield* decompressed(owned(whole), compression);
  } finally {
    await iterator.return?.();
  }
}

async function* decompressed(source: AsyncIterable<Uint8Array>, kind: "gzip" | "zstd"): AsyncGenerator<Uint8Array> {
  const { Readable } = await import("node:stream");
  const stream = await decompressor(kind);
  let broken: unknown;
  const input = Readable.from(source);
  input.on("error", (error) => {
    broken = error;
    stream.destroy(error);
  });
  try {
    for await (const chunk of input.pipe(stream)) yield chunk as Uint8Array;
  } catch (error) {
    if (broken !== undefined) throw broken;
    throw fault("invalidArgument", `decompress ${kind}: ${messageOf(error)}`, { cause: error });
  } finally {
    input.destroy();
    stream.destroy();
  }
}

/** The runtime's streams are large, and no start needs them. */
async function decompressor(kind: "gzip" | "zstd"): Promise<Transform> {
  const { createGunzip, createZstdDecompress } = await import("node:zlib");
  return kind === "gzip" ? createGunzip() : createZstdDecompress();
}

async function* prepended(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

/** The decompressor keeps pieces while the next ones are read. */
async function* owned(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield new Uint8Array(piece);
}
