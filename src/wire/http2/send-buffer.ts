import { flag, frameHeaderSize, frameType } from "./protocol.ts";
import type { Transport } from "./transport.ts";

const initialCapacity = 16 * 1024;
/** A buffer that grew beyond this is given back as soon as it is empty; a stream of data needs about as much. */
const keptCapacity = 512 * 1024;

/**
 * Frames waiting for the socket, in one piece of memory, so that the frames of a tick leave in one write.
 * Who fills it looks at `size` first: the buffer itself grows as asked.
 */
export class SendBuffer {
  readonly #transport: Transport;
  #bytes: Buffer = Buffer.allocUnsafeSlow(initialCapacity);
  #start = 0;
  #end = 0;
  /** True from a write that the socket took only in part until it drains. */
  blocked = false;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  get size(): number {
    return this.#end - this.#start;
  }

  /** Writes a frame's first nine bytes and makes room for its payload. */
  header(length: number, type: number, flags: number, streamId: number): void {
    this.reserve(frameHeaderSize + length);
    const bytes = this.#bytes;
    const at = this.#end;
    bytes[at] = length >> 16;
    bytes[at + 1] = length >> 8;
    bytes[at + 2] = length;
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    bytes[at + 5] = streamId >> 24;
    bytes[at + 6] = streamId >> 16;
    bytes[at + 7] = streamId >> 8;
    bytes[at + 8] = streamId;
    this.#end = at + frameHeaderSize;
  }

  /** The copying parts need room that `header` made. */
  copy(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length < 32) {
      const bytes = this.#bytes;
      for (let i = 0; i < length; i++) bytes[this.#end + i] = source[start + i]!;
    } else {
      this.#bytes.set(length === source.length ? source : source.subarray(start, end), this.#end);
    }
    this.#end += length;
  }

  uint32(value: number): void {
    const at = this.#end;
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
    this.#end = at + 4;
  }

  uint8(value: number): void {
    this.#bytes[this.#end++] = value;
  }

  /** A header block in as many frames as it takes. */
  headers(streamId: number, block: Uint8Array, endStream: boolean, maxFrameSize: number): void {
    const endFlag = endStream ? flag.endStream : 0;
    const first = Math.min(block.length, maxFrameSize);
    this.header(first, frameType.headers, endFlag | (first === block.length ? flag.endHeaders : 0), streamId);
    this.copy(block, 0, first);
    for (let at = first; at < block.length; at += maxFrameSize) {
      const end = Math.min(at + maxFrameSize, block.length);
      this.header(end - at, frameType.continuation, end === block.length ? flag.endHeaders : 0, streamId);
      this.copy(block, at, end);
    }
  }

  /** A frame whose payload is one 32-bit number: WINDOW_UPDATE, RST_STREAM. */
  number(type: number, streamId: number, value: number): void {
    this.header(4, type, 0, streamId);
    this.uint32(value);
  }

  /** Gives the socket what it takes. Returns false once the socket is gone. */
  flush(): boolean {
    if (this.blocked || this.#end === this.#start) return true;
    const written = this.#transport.write(this.#bytes.subarray(this.#start, this.#end));
    if (written < 0) return false;
    this.#start += written;
    if (this.#start < this.#end) {
      this.blocked = true;
    } else {
      this.#start = 0;
      this.#end = 0;
      if (this.#bytes.length > keptCapacity) this.#bytes = Buffer.allocUnsafeSlow(initialCapacity);
    }
    return true;
  }

  /** Gives the memory of a burst back, when the connection has nothing to say. */
  shrink(): void {
    if (this.size === 0 && this.#bytes.length > initialCapacity) this.#bytes = Buffer.allocUnsafeSlow(initialCapacity);
  }

  /** Makes room for so many bytes more. */
  reserve(length: number): void {
    if (this.#end + length <= this.#bytes.length) return;
    const size = this.size;
    if (size + length <= this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#start, this.#end);
    } else {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, size + length));
      this.#bytes.copy(grown, 0, this.#start, this.#end);
      this.#bytes = grown;
    }
    this.#start = 0;
    this.#end = size;
  }
}
