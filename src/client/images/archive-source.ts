import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

export interface SourceOptions {
  /** Told how many bytes of the file itself were read so far. */
  readonly onProgress?: ((bytesRead: number) => void) | undefined;
}

/** The plain bytes of a file, or of standard input for `-`, that may be compressed with gzip or zstd. */
export async function* plainBytes(path: string, options: SourceOptions = {}): AsyncGenerator<Uint8Array> {
  const source = counted(path === "-" ? Bun.stdin.stream() : Bun.file(path).stream(), options);
  const first = await source.next();
  if (first.done === true) return;
  const whole = prepended(first.value, source);
  const [a, b, c, d] = first.value;
  if (a === 0x1f && b === 0x8b) yield* through(whole, createGunzip());
  else if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) yield* through(whole, createZstdDecompress());
  else yield* whole;
}

/** Sends bytes through one of zlib's streams, at the reader's pace. */
export async function* through(
  source: AsyncIterable<Uint8Array>,
  stream: NodeJS.ReadWriteStream,
): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source);
  input.on("error", (error) => (stream as unknown as { destroy(error: Error): void }).destroy(error));
  for await (const chunk of input.pipe(stream)) yield chunk as unknown as Uint8Array;
}

/** True for what zlib says of bytes that are not what they claim to be. */
export function isCompressionError(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && /^(Z_|ZSTD_|ERR_ZSTD|ERR_BUFFER|unexpected end)/.test(code);
}

async function* counted(source: AsyncIterable<Uint8Array>, options: SourceOptions): AsyncGenerator<Uint8Array> {
  let count = 0;
  for await (const chunk of source) {
    count += chunk.length;
    options.onProgress?.(count);
    yield chunk;
  }
}

async function* prepended(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}
