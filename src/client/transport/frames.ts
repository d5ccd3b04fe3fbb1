/** HTTP/2 frame types, flags and error codes that a gRPC client meets. Source: RFC 9113 sections 6 and 7. */
export const frameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const frameFlag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
export const cancelCode = 8;

/** The length of a frame's header. */
export const frameHeaderLength = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** One frame's bytes. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderLength + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, frameHeaderLength);
  return bytes;
}

/** A frame whose payload is one 32-bit number. */
export function numberFrame(type: number, streamId: number, value: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(value, 0);
  return frame(type, 0, streamId, payload);
}

/** A SETTINGS frame of identifiers and values. */
export function settingsFrame(settings: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.allocUnsafe(settings.length * 6);
  settings.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(frameType.settings, 0, 0, payload);
}

/** Cuts a byte stream into frames; what is not whole yet is kept for the next call. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  readonly #maxPayload: number;

  constructor(maxPayload: number) {
    this.#maxPayload = maxPayload;
  }

  /** Errors: RangeError when a frame is longer than was allowed. */
  push(chunk: Buffer, each: (frame: Frame) => void): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= frameHeaderLength) {
      const length = bytes.readUIntBE(0, 3);
      if (length > this.#maxPayload) throw new RangeError(`frame of ${length} bytes`);
      const end = frameHeaderLength + length;
      if (bytes.length < end) break;
      const payload = bytes.subarray(frameHeaderLength, end);
      each({ type: bytes[3] ?? 0, flags: bytes[4] ?? 0, streamId: bytes.readUInt32BE(5) & 0x7fffffff, payload });
      bytes = bytes.subarray(end);
    }
    // The socket's buffer may be used again by the runtime, so that what is kept must be a copy.
    this.#rest = Buffer.from(bytes);
  }
}

/** A frame's payload without padding and priority. */
export function bodyOf(received: Frame): Buffer {
  let start = 0;
  let end = received.payload.length;
  if (received.flags & frameFlag.padded) {
    end -= received.payload[0] ?? 0;
    start += 1;
  }
  if (received.type === frameType.headers && received.flags & frameFlag.priority) start += 5;
  return received.payload.subarray(start, Math.max(start, end));
}
