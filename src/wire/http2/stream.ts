import type { Connection } from "./connection.ts";
import type { HeaderBlock } from "./header-block.ts";
import type { HeaderSource } from "./hpack-encoder.ts";
import { type ErrorCode, errorCode, flag, frameType } from "./protocol.ts";

/** What the layer above does with a stream's events. None of these may throw. */
export interface StreamHandler {
  /** A client's answer has begun. */
  onHeaders(block: HeaderBlock): void;
  /**
   * Bytes came, part of the chunk that was read; give them back with `credit` once they are dealt with. True when they were
   * copied: then the chunk's memory may go.
   */
  onData(bytes: Buffer, end: boolean): boolean;
  /** The peer is done, with these last words. */
  onTrailers(block: HeaderBlock): void;
  /** The stream ended early: the peer reset it, or the connection is gone. Nothing follows. */
  onReset(code: number, message: string): void;
  /** What waits to be sent fell to the high-water mark or below. */
  onWritable(): void;
}

/** A producer should wait once a stream holds back more than this. */
export const sendHighWater: number = 128 * 1024;

/** One request and its answer. It leaves the connection when both sides are done or either has reset it. */
export class Stream {
  readonly id: number;
  handler: StreamHandler | undefined;
  sendWindow: number;
  recvWindow: number;
  /** Bytes that came and were not given back. */
  uncredited = 0;
  /** Bytes given back that the peer has not been told of. */
  owed = 0;
  /** What content-length promised, -1 when nothing did. */
  promised = -1;
  remoteClosed = false;
  localClosed = false;
  gone = false;
  /** In the sender's queue. */
  ready = false;
  /** The peer's headers have come (a client's view). */
  answered = false;
  readonly #connection: Connection;
  #queue: Uint8Array[] | undefined;
  #offset = 0;
  #queued = 0;
  /** Set once nothing more will be queued; sent when the queue is empty. */
  #last: HeaderSource | "end" | undefined;
  #wasFull = false;
  /** Memory that is not ours waits to be sent. */
  #borrowed = false;

  constructor(connection: Connection, id: number, sendWindow: number, recvWindow: number) {
    this.#connection = connection;
    this.id = id;
    this.sendWindow = sendWindow;
    this.recvWindow = recvWindow;
  }

  /** Bytes of a header list that the peer takes; see `headerListSize`. */
  get maxHeaderList(): number {
    return this.#connection.peerMaxHeaderList;
  }

  /** When the bytes came that opened it or went on with it, on performance.now's clock. */
  get heardAt(): number {
    return this.#connection.heardAt;
  }

  /** The connection's descriptor; undefined once it is closed. */
  get fd(): number | undefined {
    return this.#connection.fd;
  }

  /** Bytes that wait for the peer's window or the socket. */
  get queued(): number {
    return this.#queued;
  }

  /** True when the producer should wait for `onWritable`. */
  get full(): boolean {
    return this.#queued > (this.#borrowed ? 0 : sendHighWater);
  }

  /** Something can be staged now. */
  get sendable(): boolean {
    if (this.gone) return false;
    return this.#queued > 0 ? this.sendWindow > 0 : this.#last !== undefined;
  }

  sendHeaders(source: HeaderSource, endStream = false): void {
    if (this.gone || this.localClosed) return;
    this.#connection.sender.headers(this.id, source, endStream);
    if (endStream) this.#closeLocal();
  }

  /**
   * Sends a message behind a zero byte and its length in four, as gRPC frames it; done here, since these five bytes
   * cost nothing when they are written straight into the send buffer. What `bulk` holds follows `head` and is not
   * copied before it is sent: until then the stream is full.
   */
  sendMessage(head: Uint8Array, end = false, bulk?: Uint8Array): void {
    if (this.gone || this.localClosed) return;
    if (bulk === undefined && this.#queued === 0 && this.#connection.sender.message(this, head, end)) {
      if (end) this.#closeLocal();
      return;
    }
    const prefixed = Buffer.allocUnsafe(5 + head.length);
    prefixed[0] = 0;
    prefixed.writeUInt32BE(head.length + (bulk?.length ?? 0), 1);
    prefixed.set(head, 5);
    this.#push(prefixed);
    if (bulk !== undefined) this.#borrow(bulk);
    if (end) this.#last = "end";
    this.#connection.sender.enqueue(this);
  }

  sendData(bytes: Uint8Array): void {
    if (this.gone || this.localClosed) return;
    this.#push(bytes);
    this.#connection.sender.enqueue(this);
  }

  /** Ends our side, with trailers or without, after all that was queued. */
  end(trailers?: HeaderSource): void {
    if (this.gone || this.localClosed) return;
    this.#last = trailers ?? "end";
    if (this.#queued === 0) this.#sendLast();
  }

  /** Ends the stream early and forgets what was queued. */
  reset(code: ErrorCode): void {
    if (this.gone) return;
    this.#connection.sender.reset(this.id, code);
    this.#connection.remove(this, true);
  }

  /** Lets the peer send as many bytes again. */
  credit(bytes: number): void {
    if (bytes > 0) this.#connection.incoming.credit(this, bytes);
  }

  /** Forgets what was queued; the connection has let go of the stream. */
  drop(): void {
    this.gone = true;
    this.#connection.sender.queued -= this.#queued;
    this.#queued = 0;
    this.#queue = undefined;
  }

  /** Stages data frames up to about `limit` bytes, and the end after the last. The sender calls this. */
  stage(limit: number): void {
    const { sender } = this.#connection;
    for (let staged = 0; staged < limit && this.#queued > 0; ) {
      const room = Math.min(this.sendWindow, sender.window, sender.maxFrameSize);
      if (room <= 0) return;
      staged += this.#stageFrame(Math.min(room, this.#queued));
    }
    if (this.#queued === 0) {
      this.#borrowed = false;
      if (this.#last !== undefined) this.#sendLast();
    }
    if (this.#wasFull && !this.full && !this.gone) {
      this.#wasFull = false;
      this.handler?.onWritable();
    }
  }

  #stageFrame(length: number): number {
    const { sender } = this.#connection;
    const endsHere = this.#last === "end" && length === this.#queued;
    sender.out.header(length, frameType.data, endsHere ? flag.endStream : 0, this.id);
    for (let left = length; left > 0; ) {
      const chunk = this.#queue![0]!;
      const taken = Math.min(left, chunk.length - this.#offset);
      sender.out.copy(chunk, this.#offset, this.#offset + taken);
      left -= taken;
      this.#offset += taken;
      if (this.#offset === chunk.length) {
        this.#queue!.shift();
        this.#offset = 0;
      }
    }
    this.#queued -= length;
    this.sendWindow -= length;
    sender.window -= length;
    sender.queued -= length;
    if (endsHere) this.#closeLocal();
    return length;
  }

  #push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue ??= [];
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    this.#connection.sender.queued += bytes.length;
    if (this.full) this.#wasFull = true;
  }

  #borrow(bytes: Uint8Array): void {
    this.#borrowed = true;
    this.#push(bytes);
  }

  #sendLast(): void {
    if (this.localClosed) return;
    const { sender } = this.#connection;
    if (this.#last === "end") {
      sender.out.header(0, frameType.data, flag.endStream, this.id);
      sender.touch();
    } else {
      sender.headers(this.id, this.#last!, true);
    }
    this.#closeLocal();
  }

  #closeLocal(): void {
    this.localClosed = true;
    this.#last = undefined;
    if (this.remoteClosed) this.#connection.remove(this, false);
    else if (this.#connection.isServer) this.reset(errorCode.noError);
  }
}
