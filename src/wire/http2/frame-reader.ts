import { ConnectionError, connectionPreface, errorCode, frameHeaderSize } from "./protocol.ts";

/** Takes whole frames; the payload is bytes[start, end). */
export interface FrameSink {
  /** False right after a frame of whose bytes nobody keeps any: their memory is written to again. */
  readonly keepsBytes: boolean;
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
}

const preface = Buffer.from(connectionPreface, "latin1");
/** The size that grpc-go cuts its data into. */
const reusedFrameSize = 16_384;

/**
 * Cuts a byte stream into frames. A frame that lies within one chunk is passed on in place; only one that is split
 * over chunks is copied together, in memory that is used again where it can be: in a stream of data each chunk splits one.
 * Errors: ConnectionError (a frame above the size limit, a wrong preface); whatever the sink throws.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #maxFrameSize: number;
  #prefaceLeft: number;
  #partial: Buffer | undefined;
  #spare: Buffer | undefined;
  #filled = 0;

  constructor(sink: FrameSink, maxFrameSize: number, expectPreface: boolean) {
    this.#sink = sink;
    this.#maxFrameSize = maxFrameSize;
    this.#prefaceLeft = expectPreface ? preface.length : 0;
  }

  push(chunk: Buffer): void {
    let at = this.#prefaceLeft > 0 ? this.#checkPreface(chunk) : 0;
    if (this.#partial !== undefined) at = this.#complete(chunk, at);
    while (chunk.length - at >= frameHeaderSize) {
      const end = at + frameHeaderSize + this.#payloadLength(chunk, at);
      if (end > chunk.length) break;
      this.#emit(chunk, at, end);
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk, at);
  }

  #checkPreface(chunk: Buffer): number {
    const length = Math.min(this.#prefaceLeft, chunk.length);
    const from = preface.length - this.#prefaceLeft;
    if (preface.compare(chunk, 0, length, from, from + length) !== 0) {
      throw new ConnectionError(errorCode.protocolError, "not an HTTP/2 client: the connection preface is wrong");
    }
    this.#prefaceLeft -= length;
    return length;
  }

  #payloadLength(bytes: Buffer, at: number): number {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (length > this.#maxFrameSize) {
      throw new ConnectionError(
        errorCode.frameSizeError,
        `frame of ${length} bytes, allowed are ${this.#maxFrameSize}`,
      );
    }
    return length;
  }

  #emit(bytes: Buffer, at: number, end: number): void {
    const id = ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    this.#sink.onFrame(bytes[at + 3]!, bytes[at + 4]!, id, bytes, at + frameHeaderSize, end);
  }

  #keep(chunk: Buffer, at: number): void {
    const known = chunk.length - at >= frameHeaderSize;
    const size = frameHeaderSize + (known ? this.#payloadLength(chunk, at) : 0);
    this.#partial = this.#memory(size);
    this.#filled = chunk.copy(this.#partial, 0, at);
  }

  /** Fills the split frame from the new chunk and passes it on once whole. Returns where the next frame starts. */
  #complete(chunk: Buffer, start: number): number {
    let at = start;
    for (;;) {
      const partial = this.#partial!;
      const taken = chunk.copy(partial, this.#filled, at, at + partial.length - this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled < partial.length) return at;
      const size = frameHeaderSize + this.#payloadLength(partial, 0);
      if (size === partial.length) break;
      this.#partial = this.#memory(size);
      partial.copy(this.#partial, 0, 0, frameHeaderSize);
    }
    const whole = this.#partial!;
    this.#partial = undefined;
    this.#filled = 0;
    this.#emit(whole, 0, whole.length);
    const { buffer } = whole;
    // Memory of large frames is worth it.
    if (buffer.byteLength >= frameHeaderSize + reusedFrameSize && !this.#sink.keepsBytes) {
      this.#spare = Buffer.from(buffer, 0, buffer.byteLength);
    }
    return at;
  }

  #memory(size: number): Buffer {
    const spare = this.#spare;
    if (spare === undefined || spare.length < size || size <= frameHeaderSize) return Buffer.allocUnsafeSlow(size);
    this.#spare = undefined;
    return spare.subarray(0, size);
  }
}
