import { Connection, type ConnectionHandler } from "./connection.ts";
import { FrameReader } from "./frame-reader.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { type ConnectionLimits, defaultLimits } from "./limits.ts";
import { connectionPreface, flag, frameType } from "./protocol.ts";
import type { Transport } from "./transport.ts";

export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** A frame's bytes, right or wrong as the test wants it. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.of(id >> 8, id & 0xff), uint32(value)]);
}

export const postFields: readonly string[] = [":method", "POST", ":scheme", "http", ":path", "/", ":authority", "test"];

/** A client that speaks to a server connection in memory, frame by frame. */
export class RawClient implements Transport {
  readonly fd: undefined;
  readonly connection: Connection;
  readonly frames: SeenFrame[] = [];
  readonly encoder: HpackEncoder = new HpackEncoder();
  readonly decoder: HpackDecoder = new HpackDecoder();
  /** How many bytes the socket still takes. */
  room: number = Number.POSITIVE_INFINITY;
  writes = 0;
  paused = false;
  hungUp = false;
  readonly #reader: FrameReader;

  constructor(handler: Partial<ConnectionHandler>, limits: Partial<ConnectionLimits> = {}) {
    this.#reader = new FrameReader(
      {
        keepsBytes: true,
        onFrame: (type, flags, streamId, bytes, start, end) => {
          this.frames.push({ type, flags, streamId, payload: Buffer.from(bytes.subarray(start, end)) });
        },
      },
      1 << 24,
      false,
    );
    this.connection = new Connection({
      transport: this,
      isServer: true,
      limits: { ...defaultLimits, ...limits },
      handler: { onStream: () => undefined, onClosed: () => {}, ...handler },
    });
  }

  /** Says hello with these settings. */
  greet(...settings: Buffer[]): this {
    this.send(Buffer.from(connectionPreface), frame(frameType.settings, 0, 0, Buffer.concat(settings)));
    return this;
  }

  send(...frames: Buffer[]): void {
    this.connection.receive(Buffer.concat(frames));
  }

  /** A request's HEADERS frame. */
  request(streamId: number, fields: readonly string[] = postFields, end = true): Buffer {
    const flags = flag.endHeaders | (end ? flag.endStream : 0);
    return frame(frameType.headers, flags, streamId, this.encoder.encode(fields));
  }

  of(type: number, streamId?: number): SeenFrame[] {
    return this.frames.filter((seen) => seen.type === type && (streamId === undefined || seen.streamId === streamId));
  }

  /** Data bytes that came on a stream. */
  dataLength(streamId: number): number {
    return this.of(frameType.data, streamId).reduce((sum, seen) => sum + seen.payload.length, 0);
  }

  /** The error of the GOAWAY that ended the connection. */
  get goawayCode(): number | undefined {
    return this.of(frameType.goaway).at(-1)?.payload.readUInt32BE(4);
  }

  resetCode(streamId: number): number | undefined {
    return this.of(frameType.rstStream, streamId).at(-1)?.payload.readUInt32BE(0);
  }

  /** Lets the socket take more and tells the connection so. */
  drain(room: number): void {
    this.room = room;
    this.connection.drained();
  }

  write(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.room);
    this.room -= taken;
    this.writes++;
    this.#reader.push(Buffer.from(bytes.subarray(0, taken)));
    return taken;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.hungUp = true;
  }

  terminate(): void {
    this.hungUp = true;
  }
}
