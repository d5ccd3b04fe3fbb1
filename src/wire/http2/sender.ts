import { type HeaderSource, HpackEncoder } from "./hpack-encoder.ts";
import { errorCode, flag, frameType, protocolDefaults } from "./protocol.ts";
import { SendBuffer } from "./send-buffer.ts";
import type { Stream } from "./stream.ts";
import type { Transport } from "./transport.ts";

/** Data frames are staged up to here; the rest waits in its stream. About what a unix socket's buffer takes. */
const stagedLimit = 256 * 1024;
/** How much one stream may stage before the next has its turn. */
const turnBytes = 64 * 1024;

/**
 * The sending half of a connection: one buffer in which the frames of a tick gather, the peer's limits, and the queue
 * of streams that have data which the peer and the socket would take.
 */
export class Sender {
  readonly out: SendBuffer;
  readonly encoder: HpackEncoder = new HpackEncoder();
  /** The connection's window: how much data the peer takes on all streams together. */
  window: number = protocolDefaults.windowSize;
  initialWindow: number = protocolDefaults.windowSize;
  maxFrameSize: number = protocolDefaults.maxFrameSize;
  /** Bytes that wait in streams. */
  queued = 0;
  /** While set, whoever set it will flush. */
  corked = false;
  #ready: Stream[] = [];
  #scheduled = false;
  readonly #flushed: () => void;

  /** `flushed` is told after each attempt to write. */
  constructor(transport: Transport, flushed: () => void) {
    this.out = new SendBuffer(transport);
    this.#flushed = flushed;
  }

  headers(streamId: number, source: HeaderSource, endStream: boolean): void {
    this.out.headers(streamId, this.encoder.encode(source), endStream, this.maxFrameSize);
    this.touch();
  }

  /** Stages a length-prefixed message as one frame when nothing stands in its way; false when something does. */
  message(stream: Stream, payload: Uint8Array, endStream: boolean): boolean {
    const length = payload.length + 5;
    const { out } = this;
    if (length > this.maxFrameSize || length > this.window || length > stream.sendWindow) return false;
    if (out.size > stagedLimit) return false;
    out.header(length, frameType.data, endStream ? flag.endStream : 0, stream.id);
    out.uint8(0);
    out.uint32(payload.length);
    out.copy(payload, 0, payload.length);
    this.window -= length;
    stream.sendWindow -= length;
    this.touch();
    return true;
  }

  /** RST_STREAM. */
  reset(streamId: number, code: number): void {
    this.out.number(frameType.rstStream, streamId, code);
    this.touch();
  }

  windowUpdate(streamId: number, increment: number): void {
    this.out.number(frameType.windowUpdate, streamId, increment);
    this.touch();
  }

  settings(pairs: readonly (readonly [id: number, value: number])[]): void {
    this.out.header(pairs.length * 6, frameType.settings, 0, 0);
    for (const [id, value] of pairs) {
      this.out.uint8(id >> 8);
      this.out.uint8(id & 0xff);
      this.out.uint32(value);
    }
    this.touch();
  }

  settingsAck(): void {
    this.out.header(0, frameType.settings, 1, 0);
    this.touch();
  }

  ping(payload: Uint8Array, start: number, ack: boolean): void {
    this.out.header(8, frameType.ping, ack ? 1 : 0, 0);
    this.out.copy(payload, start, start + 8);
    this.touch();
  }

  goaway(lastStreamId: number, code: number, message: string): void {
    const debug = Buffer.from(code === errorCode.noError ? "" : message.slice(0, 256), "latin1");
    this.out.header(8 + debug.length, frameType.goaway, 0, 0);
    this.out.uint32(lastStreamId);
    this.out.uint32(code);
    this.out.copy(debug, 0, debug.length);
    this.touch();
  }

  /** Puts a stream that has something to send, and room at the peer, in the queue. */
  enqueue(stream: Stream): void {
    if (stream.ready || !stream.sendable) return;
    stream.ready = true;
    this.#ready.push(stream);
    this.touch();
  }

  /** Sees to it that what was staged leaves at the end of this tick. */
  touch(): void {
    if (this.corked || this.#scheduled) return;
    this.#scheduled = true;
    // After all microtasks that are due: the answers that they make leave together.
    process.nextTick(this.#tick);
  }

  readonly #tick = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  /** Stages what the streams have, turn by turn, and writes. */
  flush(): void {
    do {
      this.#stage();
      this.out.flush();
    } while (this.#ready.length > 0 && this.window > 0 && this.out.size === 0);
    this.#flushed();
  }

  #stage(): void {
    let turns = this.#ready;
    while (turns.length > 0 && this.window > 0 && this.out.size < stagedLimit) {
      this.#ready = [];
      for (let i = 0; i < turns.length; i++) {
        const stream = turns[i]!;
        if (this.out.size < stagedLimit && stream.sendable) stream.stage(turnBytes);
        if (stream.sendable) this.#ready.push(stream);
        else stream.ready = false;
      }
      turns = this.#ready;
    }
  }
}
