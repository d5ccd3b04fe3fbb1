import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { HeaderAssembler, type HeaderSink } from "./header-assembler.ts";
import { type HeaderBlock, headerValue } from "./header-block.ts";
import { requestProblem, responseProblem, trailersProblem } from "./header-rules.ts";
import type { HeaderSource } from "./hpack-encoder.ts";
import type { ConnectionLimits } from "./limits.ts";
import {
  ConnectionError,
  connectionPreface,
  type ErrorCode,
  errorCode,
  flag,
  frameType,
  maxWindowSize,
  protocolDefaults,
  settingId,
} from "./protocol.ts";
import { RateLimit } from "./rate-limit.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { RecentIds } from "./recent-ids.ts";
import { Sender } from "./sender.ts";
import { applySettings, type SettingsTarget } from "./settings.ts";
import { Stream, type StreamHandler } from "./stream.ts";
import type { Transport } from "./transport.ts";

/** What the layer above does with a connection's events. */
export interface ConnectionHandler {
  /** The peer opened a stream; what is returned gets what follows. `end`: nothing does. */
  onStream(stream: Stream, block: HeaderBlock, end: boolean): StreamHandler | undefined;
  /** The connection is gone: once, last, with the reason where there was one. */
  onClosed(error: Error | undefined): void;
}

export interface ConnectionOptions {
  readonly transport: Transport;
  readonly handler: ConnectionHandler;
  readonly isServer: boolean;
  readonly limits: ConnectionLimits;
}

/** Above this many bytes of frames that the socket does not take, nothing more is read from the peer. */
const pauseReadingAt = 1024 * 1024;
const drainPing: Buffer = Buffer.from("drain\0\0\0");
const alivePing: Buffer = Buffer.from("alive\0\0\0");

/**
 * One HTTP/2 connection, either side. Feed it what the socket delivers: `receive`, `drained`, `disconnected`.
 * Invariant: whatever the peer sends, memory stays within the limits, and a stream's handler hears nothing after
 * `onReset`, `onTrailers` or a last `onData`.
 * Source: RFC 9113.
 */
export class Connection implements FrameSink, HeaderSink, SettingsTarget {
  readonly isServer: boolean;
  readonly limits: ConnectionLimits;
  readonly sender: Sender;
  readonly streams: Map<number, Stream> = new Map();
  readonly incoming: ReceiveWindow;
  /** When the peer last said anything, on performance.now's clock. */
  heardAt: number = performance.now();
  /** The peer's first SETTINGS have come. */
  established = false;
  peerMaxStreams: number = Number.POSITIVE_INFINITY;
  /** No more streams are taken, or may be opened. */
  draining = false;
  closed = false;
  readonly #transport: Transport;
  readonly #handler: ConnectionHandler;
  readonly #reader: FrameReader;
  readonly #headers: HeaderAssembler;
  readonly #control: RateLimit;
  readonly #resets: RateLimit;
  readonly #recent = new RecentIds(64);
  readonly #resetByUs = new RecentIds(256);
  /** The highest stream that the peer opened. */
  #lastStream = 0;
  #nextStream = 1;
  #refuseAbove: number = maxWindowSize;
  #paused = false;

  constructor(options: ConnectionOptions) {
    const { limits } = options;
    this.isServer = options.isServer;
    this.limits = limits;
    this.#transport = options.transport;
    this.#handler = options.handler;
    this.sender = new Sender(options.transport, () => this.#afterFlush());
    this.incoming = new ReceiveWindow(limits, this.sender);
    this.#reader = new FrameReader(this, limits.maxFrameSize, options.isServer);
    this.#headers = new HeaderAssembler(this, limits.maxHeaderListSize);
    this.#control = new RateLimit(limits.controlFrames.burst, limits.controlFrames.perSecond);
    this.#resets = new RateLimit(limits.resets.burst, limits.resets.perSecond);
    this.#greet();
  }

  /** Opens a stream, as a client. */
  open(source: HeaderSource, handler: StreamHandler, end = false): Stream {
    const stream = new Stream(this, this.#nextStream, this.sender.initialWindow, this.limits.streamWindow);
    this.#nextStream += 2;
    stream.handler = handler;
    this.streams.set(stream.id, stream);
    stream.sendHeaders(source, end);
    return stream;
  }

  /** Bytes came from the socket. */
  receive(chunk: Buffer): void {
    if (this.closed) return;
    this.heardAt = performance.now();
    this.sender.corked = true;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.sender.corked = false;
    }
    if (!this.closed) this.sender.flush();
  }

  /** The socket takes more. */
  drained(): void {
    if (this.closed) return;
    this.sender.out.blocked = false;
    this.sender.flush();
  }

  /** The socket is gone: every stream ends. */
  disconnected(error: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    const open = [...this.streams.values()];
    this.streams.clear();
    for (const stream of open) {
      stream.drop();
      stream.handler?.onReset(errorCode.cancel, error?.message ?? "the connection is closed");
    }
    this.#handler.onClosed(error);
  }

  /** Takes no more streams, lets the present ones end, then hangs up. Source: RFC 9113 section 6.8. */
  drain(): void {
    if (this.draining || this.closed) return;
    this.draining = true;
    if (this.isServer && this.established) {
      // Streams that are on their way are still served: the last number is said once this ping has come back.
      this.sender.goaway(maxWindowSize, errorCode.noError, "");
      this.sender.ping(drainPing, 0, false);
    } else {
      this.#sayLast();
    }
  }

  /** Asks the peer for a sign of life. */
  ping(): void {
    this.sender.ping(alivePing, 0, false);
  }

  /** Hangs up at once. */
  terminate(error?: Error): void {
    this.#transport.terminate();
    this.disconnected(error);
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (this.closed) return;
    this.#checkOrder(type, flags, id);
    switch (type) {
      case frameType.headers:
        if (id === 0) throw protocolError("HEADERS on stream 0");
        this.#headers.headers(flags, id, bytes, start, end);
        return;
      case frameType.continuation:
        this.#headers.continuation(flags, id, bytes, start, end);
        return;
      case frameType.data:
        this.#onData(flags, id, bytes, start, end);
        return;
      case frameType.windowUpdate:
        this.#onWindowUpdate(id, bytes, start, end);
        return;
      case frameType.rstStream:
        this.#onReset(id, bytes, start, end);
        return;
      default:
        this.#onControl(type, flags, id, bytes, start, end);
    }
  }

  /** A whole header block: a request, an answer's headers, or trailers. */
  onBlock(id: number, block: HeaderBlock | undefined, endStream: boolean, selfDependent: boolean): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.#openStream(id, block, endStream, selfDependent);
    } else if (stream.remoteClosed) {
      stream.reset(errorCode.streamClosed);
      stream.handler?.onReset(errorCode.streamClosed, "headers after the end");
    } else if (!this.isServer && !stream.answered) {
      this.#answer(stream, block, endStream);
    } else {
      this.#trailers(stream, block, endStream);
    }
  }

  /** Lets go of a stream. */
  remove(stream: Stream, resetByUs: boolean): void {
    if (stream.gone) return;
    stream.drop();
    this.streams.delete(stream.id);
    this.incoming.release(stream);
    (resetByUs ? this.#resetByUs : this.#recent).add(stream.id);
    if (this.draining && this.streams.size === 0) this.sender.touch();
  }

  #greet(): void {
    const { limits, sender } = this;
    if (!this.isServer) {
      const preface = Buffer.from(connectionPreface, "latin1");
      sender.out.reserve(preface.length);
      sender.out.copy(preface, 0, preface.length);
    }
    sender.settings([
      this.isServer ? [settingId.maxConcurrentStreams, limits.maxConcurrentStreams] : [settingId.enablePush, 0],
      [settingId.initialWindowSize, limits.streamWindow],
      [settingId.maxFrameSize, limits.maxFrameSize],
      [settingId.maxHeaderListSize, limits.maxHeaderListSize],
    ]);
    sender.windowUpdate(0, limits.connectionWindow - protocolDefaults.windowSize);
  }

  #checkOrder(type: number, flags: number, id: number): void {
    const unfinished = this.#headers.unfinished;
    if (unfinished !== 0 && (type !== frameType.continuation || id !== unfinished)) {
      throw protocolError("a header block was interrupted");
    }
    if (this.established) return;
    if (type !== frameType.settings || (flags & flag.ack) !== 0) throw protocolError("SETTINGS must come first");
    this.established = true;
  }

  #openStream(id: number, block: HeaderBlock | undefined, endStream: boolean, selfDependent: boolean): void {
    if (id <= this.#lastStream || !this.isServer) {
      if (this.#resetByUs.has(id)) return;
      if (this.#recent.has(id)) throw new ConnectionError(errorCode.streamClosed, "HEADERS on a closed stream");
      throw protocolError(`stream ${id} cannot be opened`);
    }
    if ((id & 1) === 0) throw protocolError("a client's stream has an even number");
    if (id > this.#refuseAbove) return;
    this.#lastStream = id;
    const refusal = this.#refusal(block, endStream, selfDependent);
    if (refusal !== undefined) {
      this.#resetByUs.add(id);
      this.#countReset();
      this.sender.reset(id, refusal);
      return;
    }
    const stream = new Stream(this, id, this.sender.initialWindow, this.limits.streamWindow);
    stream.remoteClosed = endStream;
    this.streams.set(id, stream);
    stream.promised = contentLength(block!);
    const handler = this.#handler.onStream(stream, block!, endStream);
    stream.handler = handler;
  }

  #refusal(block: HeaderBlock | undefined, endStream: boolean, selfDependent: boolean): ErrorCode | undefined {
    if (block === undefined) return errorCode.enhanceYourCalm;
    if (selfDependent || requestProblem(block) !== "") return errorCode.protocolError;
    if (endStream && contentLength(block) > 0) return errorCode.protocolError;
    const full = this.streams.size >= this.limits.maxConcurrentStreams;
    return full || this.sender.queued > this.limits.maxQueuedBytes ? errorCode.refusedStream : undefined;
  }

  #answer(stream: Stream, block: HeaderBlock | undefined, endStream: boolean): void {
    if (block === undefined || responseProblem(block.fields) !== "") {
      this.#streamError(stream, errorCode.protocolError, "the answer's headers are malformed");
      return;
    }
    // 1xx announces another answer.
    if (block.fields[1]!.startsWith("1")) return;
    stream.answered = true;
    const { handler } = stream;
    if (endStream) {
      this.#closeRemote(stream);
      handler?.onTrailers(block);
    } else {
      handler?.onHeaders(block);
    }
  }

  #trailers(stream: Stream, block: HeaderBlock | undefined, endStream: boolean): void {
    if (!endStream || block === undefined || trailersProblem(block.fields) !== "" || stream.promised > 0) {
      this.#streamError(stream, errorCode.protocolError, "trailers are malformed");
      return;
    }
    const { handler } = stream;
    this.#closeRemote(stream);
    handler?.onTrailers(block);
  }

  #onData(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) throw protocolError("DATA on stream 0");
    let from = start;
    let to = end;
    if (flags & flag.padded) {
      to -= from < end ? bytes[from++]! : 1;
      if (to < from) throw protocolError("padding is longer than the frame");
    }
    this.incoming.received(end - start);
    const stream = this.streams.get(id);
    const endStream = (flags & flag.endStream) !== 0;
    if (from === to && !endStream) this.#countControl();
    if (stream === undefined || stream.remoteClosed) this.#lateData(stream, id);
    else this.#streamData(stream, bytes.subarray(from, to), end - start, endStream);
    this.incoming.update();
  }

  #streamData(stream: Stream, data: Buffer, counted: number, endStream: boolean): void {
    if (!this.incoming.kept(stream, counted)) {
      this.#streamError(stream, errorCode.flowControlError, "the stream's window is exceeded");
      return;
    }
    if (stream.promised >= 0) {
      stream.promised -= data.length;
      if (stream.promised < 0 || (endStream && stream.promised > 0)) {
        this.#streamError(stream, errorCode.protocolError, "content-length is not what came");
        return;
      }
    }
    if (counted > data.length) this.incoming.credit(stream, counted - data.length);
    const { handler } = stream;
    if (endStream) this.#closeRemote(stream);
    handler?.onData(data, endStream);
  }

  /** Data for a stream that ended, or never was. */
  #lateData(stream: Stream | undefined, id: number): void {
    if (stream !== undefined) {
      this.#streamError(stream, errorCode.streamClosed, "data after the end");
      return;
    }
    this.#checkNotIdle(id);
    if (this.#resetByUs.has(id)) return;
    this.#countReset();
    this.sender.reset(id, errorCode.streamClosed);
  }

  #onWindowUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    checkSize(end - start, 4);
    const increment = bytes.readUInt32BE(start) & maxWindowSize;
    const stream = id === 0 ? undefined : this.streams.get(id);
    if (id !== 0 && stream === undefined) {
      this.#checkNotIdle(id);
      return;
    }
    if (stream === undefined) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE by zero");
      this.sender.window += increment;
      if (this.sender.window > maxWindowSize) throw flowControlError("the connection's window overflows");
      return;
    }
    stream.sendWindow += increment;
    if (increment === 0) this.#streamError(stream, errorCode.protocolError, "WINDOW_UPDATE by zero");
    else if (stream.sendWindow > maxWindowSize)
      this.#streamError(stream, errorCode.flowControlError, "window overflow");
    else this.sender.enqueue(stream);
  }

  #onReset(id: number, bytes: Buffer, start: number, end: number): void {
    checkSize(end - start, 4);
    if (id === 0) throw protocolError("RST_STREAM on stream 0");
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.#checkNotIdle(id);
      return;
    }
    if (this.isServer) this.#countReset();
    this.remove(stream, false);
    stream.handler?.onReset(bytes.readUInt32BE(start), "the stream was reset");
  }

  /** The frames that move nothing. */
  #onControl(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    this.#countControl();
    if (type === frameType.priority) {
      this.#onPriority(id, bytes, start, end);
      return;
    }
    if (type === frameType.pushPromise) throw protocolError("PUSH_PROMISE is not allowed");
    // Unknown types are ignored. Source: RFC 9113 section 5.5.
    if (type !== frameType.settings && type !== frameType.ping && type !== frameType.goaway) return;
    if (id !== 0) throw protocolError("a connection's frame on a stream");
    if (type === frameType.settings) this.#onSettings(flags, bytes, start, end);
    else if (type === frameType.ping) this.#onPing(flags, bytes, start, end);
    else this.#onGoaway(bytes, start, end);
  }

  #onSettings(flags: number, bytes: Buffer, start: number, end: number): void {
    if (flags & flag.ack) {
      checkSize(end - start, 0);
      return;
    }
    applySettings(this, bytes, start, end);
    this.sender.settingsAck();
  }

  #onPing(flags: number, bytes: Buffer, start: number, end: number): void {
    checkSize(end - start, 8);
    if ((flags & flag.ack) === 0) this.sender.ping(bytes, start, true);
    else if (this.draining && drainPing.compare(bytes, start, end) === 0) this.#sayLast();
  }

  #onPriority(id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) throw protocolError("PRIORITY on stream 0");
    const stream = this.streams.get(id);
    const wrongSize = end - start !== 5;
    if (!wrongSize && (bytes.readUInt32BE(start) & maxWindowSize) !== id) return;
    const code = wrongSize ? errorCode.frameSizeError : errorCode.protocolError;
    if (stream !== undefined) this.#streamError(stream, code, "PRIORITY is malformed");
    else this.sender.reset(id, code);
  }

  #onGoaway(bytes: Buffer, start: number, end: number): void {
    if (end - start < 8) throw new ConnectionError(errorCode.frameSizeError, "GOAWAY is too short");
    const last = bytes.readUInt32BE(start) & maxWindowSize;
    const code = bytes.readUInt32BE(start + 4);
    this.draining = true;
    if (this.isServer) return;
    for (const stream of this.streams.values()) {
      if (stream.id <= last) continue;
      this.remove(stream, false);
      stream.handler?.onReset(errorCode.refusedStream, `the server is going away (${code})`);
    }
  }

  /** Says which stream was the last, and hangs up once the present ones have ended. */
  #sayLast(): void {
    this.#refuseAbove = this.#lastStream;
    this.sender.goaway(this.#lastStream, errorCode.noError, "");
  }

  #afterFlush(): void {
    const { size } = this.sender.out;
    if (this.closed) return;
    if (!this.#paused && size > pauseReadingAt) {
      this.#paused = true;
      this.#transport.pause();
    } else if (this.#paused && size < pauseReadingAt / 2) {
      this.#paused = false;
      this.#transport.resume();
    }
    const saidLast = this.#refuseAbove < maxWindowSize || !this.isServer;
    if (this.draining && saidLast && this.streams.size === 0 && size === 0) this.#transport.end();
  }

  #closeRemote(stream: Stream): void {
    stream.remoteClosed = true;
    if (stream.localClosed) this.remove(stream, false);
  }

  #streamError(stream: Stream, code: ErrorCode, message: string): void {
    this.#countReset();
    stream.reset(code);
    stream.handler?.onReset(code, message);
  }

  #checkNotIdle(id: number): void {
    const last = ((id & 1) === 1) === this.isServer ? this.#lastStream : this.isServer ? 0 : this.#nextStream - 2;
    if (id > last) throw protocolError(`stream ${id} is idle`);
  }

  #countControl(): void {
    if (!this.#control.take()) throw new ConnectionError(errorCode.enhanceYourCalm, "too many control frames");
  }

  #countReset(): void {
    if (!this.#resets.take()) throw new ConnectionError(errorCode.enhanceYourCalm, "too many streams were reset");
  }

  /** Tells the peer why, as far as the socket takes it, and hangs up. */
  #fail(error: unknown): void {
    const known = error instanceof ConnectionError;
    const message = error instanceof Error ? error.message : String(error);
    this.sender.goaway(this.#lastStream, known ? error.code : errorCode.internalError, message);
    this.sender.out.flush();
    this.#transport.end();
    this.disconnected(error instanceof Error ? error : new Error(message));
  }
}

function contentLength(block: HeaderBlock): number {
  const text = headerValue(block.fields, "content-length");
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : -1;
}

function checkSize(size: number, wanted: number): void {
  if (size !== wanted) throw new ConnectionError(errorCode.frameSizeError, "frame of a wrong size");
}

function protocolError(message: string): ConnectionError {
  return new ConnectionError(errorCode.protocolError, message);
}

function flowControlError(message: string): ConnectionError {
  return new ConnectionError(errorCode.flowControlError, message);
}
