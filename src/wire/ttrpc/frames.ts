/** The 10-byte header that goes before each message. Source: containerd/ttrpc PROTOCOL.md, "Message Frame". */
export const headerBytes = 10;

/** The longest payload; a longer one is refused. Source: containerd/ttrpc channel.go, messageLengthMax. */
export const maxPayloadBytes: number = 4 << 20;

/** What a frame is. Source: containerd/ttrpc PROTOCOL.md, "Message Types". */
export const frameTypes = { request: 1, response: 2, data: 3 } as const;

/** Bits of a frame's flags, each from the point of view of the receiver. */
export const frameFlags = { remoteClosed: 1, remoteOpen: 2, noData: 4 } as const;

export interface Frame {
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  /** May share memory with the chunk that it came in. */
  readonly payload: Uint8Array;
  /** The payload is longer than the limit and will be skipped; `payload` is empty. */
  readonly oversized: boolean;
}

const noBytes = new Uint8Array(0);

/** One frame as bytes, header and payload in one piece. */
export function encodeFrame(stream: number, type: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length);
  view.setUint32(4, stream);
  bytes[8] = type;
  bytes[9] = flags;
  bytes.set(payload, headerBytes);
  return bytes;
}

/**
 * Cuts a byte stream into frames, whatever the chunks are.
 * Effects: holds at most one unfinished frame (4 MiB); an oversized one is told by its head, for its payload may never
 * come, and counted off.
 */
export class FrameParser {
  readonly #onFrame: (frame: Frame) => void;
  readonly #header = new Uint8Array(headerBytes);
  #headerFilled = 0;
  #body: Uint8Array | undefined;
  #bodyFilled = 0;
  #skip = 0;

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) at = this.#skipBody(chunk, at);
      else if (this.#body !== undefined) at = this.#fillBody(chunk, at, this.#body);
      else at = this.#readHeader(chunk, at);
    }
  }

  #readHeader(chunk: Uint8Array, from: number): number {
    const take = Math.min(headerBytes - this.#headerFilled, chunk.length - from);
    this.#header.set(chunk.subarray(from, from + take), this.#headerFilled);
    this.#headerFilled += take;
    const at = from + take;
    if (this.#headerFilled < headerBytes) return at;
    const length = new DataView(this.#header.buffer).getUint32(0);
    if (length > maxPayloadBytes) {
      this.#skip = length;
      this.#emit(noBytes, true);
      return at;
    }
    if (chunk.length - at >= length) {
      this.#emit(chunk.subarray(at, at + length), false);
      return at + length;
    }
    this.#body = new Uint8Array(length);
    this.#bodyFilled = 0;
    return at;
  }

  #fillBody(chunk: Uint8Array, from: number, body: Uint8Array): number {
    const take = Math.min(body.length - this.#bodyFilled, chunk.length - from);
    body.set(chunk.subarray(from, from + take), this.#bodyFilled);
    this.#bodyFilled += take;
    if (this.#bodyFilled === body.length) {
      this.#body = undefined;
      this.#emit(body, false);
    }
    return from + take;
  }

  #skipBody(chunk: Uint8Array, from: number): number {
    const take = Math.min(this.#skip, chunk.length - from);
    this.#skip -= take;
    return from + take;
  }

  #emit(payload: Uint8Array, oversized: boolean): void {
    const stream = new DataView(this.#header.buffer).getUint32(4);
    const [type, flags] = [this.#header[8] ?? 0, this.#header[9] ?? 0];
    this.#headerFilled = 0;
    this.#onFrame({ stream, type, flags, payload, oversized });
  }
}
