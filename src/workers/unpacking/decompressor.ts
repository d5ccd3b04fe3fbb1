import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { fault } from "../../lib/faults.ts";

export type CompressionKind = "gzip" | "zstd";

/** As much is made at once. More falls out of the processor's cache, less costs calls. */
const pieceBytes = 1 << 18;

/**
 * What node's compression streams keep inside: a step runs on the calling thread and leaves how much room and input is left.
 * Source: node lib/zlib.js, processChunkSync; the same in Bun 1.4.5.
 */
interface RawStream {
  readonly _handle: {
    onerror: (message: string, errno: number, code: string) => void;
    writeSync(
      flush: number,
      input: Uint8Array,
      inputAt: number,
      inputBytes: number,
      output: Uint8Array,
      outputAt: number,
      outputBytes: number,
    ): void;
  };
  readonly _writeState: Uint32Array;
  destroy(): void;
}

/**
 * Decompresses on the thread that calls it, into memory that it uses again and again: a stream's own pieces, each in memory
 * that is new to the process, take two and a half times as long.
 * Errors: invalidArgument (damaged or cut short).
 */
export class Decompressor implements Disposable {
  /** The compressed data is through; whatever follows is of no interest. */
  ended = false;
  readonly #kind: CompressionKind;
  readonly #stream: RawStream;
  readonly #output: Buffer = Buffer.allocUnsafeSlow(pieceBytes);
  #broken: string | undefined;

  constructor(kind: CompressionKind) {
    this.#kind = kind;
    const made = kind === "gzip" ? createGunzip({ chunkSize: 64 }) : createZstdDecompress({ chunkSize: 64 });
    this.#stream = made as unknown as RawStream;
    this.#stream._handle.onerror = (message) => {
      this.#broken = message;
    };
  }

  /** What these bytes hold, piece by piece; each piece is the taker's only until the next. */
  push(bytes: Uint8Array): Generator<Uint8Array> {
    return this.#run(bytes, this.#kind === "gzip" ? constants.Z_NO_FLUSH : constants.ZSTD_e_continue);
  }

  /** What is left when no more bytes come. */
  finish(): Generator<Uint8Array> {
    return this.#run(new Uint8Array(0), this.#kind === "gzip" ? constants.Z_FINISH : constants.ZSTD_e_end);
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }

  *#run(bytes: Uint8Array, flush: number): Generator<Uint8Array> {
    const { _handle: handle, _writeState: state } = this.#stream;
    const output = this.#output;
    for (let left = bytes.length; !this.ended; ) {
      handle.writeSync(flush, bytes, bytes.length - left, left, output, 0, output.length);
      if (this.#broken !== undefined) throw fault("invalidArgument", `decompress ${this.#kind}: ${this.#broken}`);
      const [room = 0, rest = 0] = state;
      left = rest;
      if (room < output.length) yield output.subarray(0, output.length - room);
      if (room > 0) {
        this.ended = left > 0;
        return;
      }
    }
  }
}
