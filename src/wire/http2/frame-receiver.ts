import type { Connection, ConnectionHandler } from "./connection.ts";
import type { FrameSink } from "./frame-reader.ts";
import { HeaderAssembler, type HeaderSink } from "./header-assembler.ts";
import { type HeaderBlock, headerValue } from "./header-block.ts";
import { requestProblem, responseProblem, trailersProblem } from "./header-rules.ts";
import { ConnectionError, type ErrorCode, errorCode, flag, frameType, maxWindowSize } from "./protocol.ts";
import { RateLimit } from "./rate-limit.ts";
import { RecentIds } from "./recent-ids.ts";
import { applySettings } from "./settings.ts";
import type { Stream } from "./stream.ts";

/** What the end of a graceful shutdown's first half comes back as. */
export const drainPing: Buffer = Buffer.from("drain\0\0\0");

/**
 * What a connection does with the frames that come: it keeps the order of RFC 9113, section by section, and hands on
 * what is left to streams.
 * Errors: ConnectionError where the connection cannot go on; what concerns one stream ends that stream alone.
 */
export class FrameReceiver implements FrameSink, HeaderSink {
  /** The peer's first SETTINGS have come. */
  established = false;
  /** The highest stream that the peer opened. */
  lastStream = 0;
  /** Later streams are not taken: the peer was told so. */
  refuseAbove: number = maxWindowSize;
  /** Somebody keeps bytes of the chunk that is being read. */
  keepsBytes = false;
  readonly #connection: Connection;
  readonly #handler: ConnectionHandler;
  readonly #headers: HeaderAssembler;
  readonly #control: RateLimit;
  readonly #resets: RateLimit;
  readonly #recent = new RecentIds(64);
  readonly #resetByUs = new RecentIds(256);

  constructor(connection: Connection, handler: ConnectionHandler) {
    const { limits } = connection;
    this.#connection = connection;
    this.#handler = handler;
    this.#headers = new HeaderAssembler(this, limits.maxHeaderListSize);
    this.#control = new RateLimit(limits.controlFrames.burst, limits.controlFrames.perSecond);
    this.#resets = new RateLimit(limits.resets.burst, limits.resets.perSecond);
  }

  /** Remembers a stream that ended, for frames that were on their way. */
  forget(streamId: number, resetByUs: boolean): void {
    (resetByUs ? this.#resetByUs : this.#recent).add(streamId);
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (this.#connection.closed) return;
    this.#checkOrder(type, flags, id);
    switch (type) {
      case frameType.headers:
        if (id === 0) throw protocolError("HEADERS on stream 0");
        this.#headers.headers(flags, id, bytes, start, end);
        if (this.#headers.unfinished !== 0) this.keepsBytes = true;
        return;
      case frameType.continuation:
        this.#headers.continuation(flags, id, bytes, start, end);
        if (this.#headers.unfinished !== 0) this.keepsBytes = true;
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
    const stream = this.#connection.streams.get(id);
    if (stream === undefined) {
      this.#openStream(id, block, endStream, selfDependent);
    } else if (stream.remoteClosed) {
      stream.reset(errorCode.streamClosed);
      stream.handler?.onReset(errorCode.streamClosed, "headers after the end");
    } else if (!this.#connection.isServer && !stream.answered) {
      this.#answer(stream, block, endStream);
    } else {
      this.#trailers(stream, block, endStream);
    }
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
    if (id <= this.lastStream || !this.#connection.isServer) {
      if (this.#resetByUs.has(id)) return;
      if (this.#recent.has(id)) throw new ConnectionError(errorCode.streamClosed, "HEADERS on a closed stream");
      throw protocolError(`stream ${id} cannot be opened`);
    }
    if ((id & 1) === 0) throw protocolError("a client's stream has an even number");
    if (id > this.refuseAbove) return;
    this.lastStream = id;
    const refusal = this.#refusal(block, endStream, selfDependent);
    if (refusal !== undefined) {
      this.#resetByUs.add(id);
      this.#countReset();
      this.#connection.sender.reset(id, refusal);
      return;
    }
    const stream = this.#connection.create(id);
    stream.remoteClosed = endStream;
    this.#connection.streams.set(id, stream);
    stream.promised = contentLength(block!);
    const handler = this.#handler.onStream(stream, block!, endStream);
    stream.handler = handler;
  }

  #refusal(block: HeaderBlock | undefined, endStream: boolean, selfDependent: boolean): ErrorCode | undefined {
    if (block === undefined) return errorCode.enhanceYourCalm;
    if (selfDependent || requestProblem(block) !== "") return errorCode.protocolError;
    if (endStream && contentLength(block) > 0) return errorCode.protocolError;
    const full = this.#connection.streams.size >= this.#connection.limits.maxConcurrentStreams;
    return full || this.#connection.sender.queued > this.#connection.limits.maxQueuedBytes
      ? errorCode.refusedStream
      : undefined;
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
    this.#connection.incoming.received(end - start);
    const stream = this.#connection.streams.get(id);
    const endStream = (flags & flag.endStream) !== 0;
    if (from === to && !endStream) this.#countControl();
    if (stream === undefined || stream.remoteClosed) this.#lateData(stream, id);
    else this.#streamData(stream, bytes.subarray(from, to), end - start, endStream);
    this.#connection.incoming.update();
  }

  #streamData(stream: Stream, data: Buffer, counted: number, endStream: boolean): void {
    if (!this.#connection.incoming.kept(stream, counted)) {
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
    if (counted > data.length) this.#connection.incoming.credit(stream, counted - data.length);
    const { handler } = stream;
    if (endStream) this.#closeRemote(stream);
    if (handler?.onData(data, endStream) === false) this.keepsBytes = true;
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
    this.#connection.sender.reset(id, errorCode.streamClosed);
  }

  #onWindowUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    checkSize(end - start, 4);
    const increment = bytes.readUInt32BE(start) & maxWindowSize;
    const stream = id === 0 ? undefined : this.#connection.streams.get(id);
    if (id !== 0 && stream === undefined) {
      this.#checkNotIdle(id);
      return;
    }
    if (stream === undefined) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE by zero");
      this.#connection.sender.window += increment;
      if (this.#connection.sender.window > maxWindowSize) throw flowControlError("the connection's window overflows");
      return;
    }
    stream.sendWindow += increment;
    if (increment === 0) this.#streamError(stream, errorCode.protocolError, "WINDOW_UPDATE by zero");
    else if (stream.sendWindow > maxWindowSize)
      this.#streamError(stream, errorCode.flowControlError, "window overflow");
    else this.#connection.sender.enqueue(stream);
  }

  #onReset(id: number, bytes: Buffer, start: number, end: number): void {
    checkSize(end - start, 4);
    if (id === 0) throw protocolError("RST_STREAM on stream 0");
    const stream = this.#connection.streams.get(id);
    if (stream === undefined) {
      this.#checkNotIdle(id);
      return;
    }
    if (this.#connection.isServer) this.#countReset();
    this.#connection.remove(stream, false);
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
    applySettings(this.#connection, bytes, start, end);
    this.#connection.sender.settingsAck();
  }

  #onPing(flags: number, bytes: Buffer, start: number, end: number): void {
    checkSize(end - start, 8);
    if ((flags & flag.ack) === 0) this.#connection.sender.ping(bytes, start, true);
    else if (this.#connection.draining && drainPing.compare(bytes, start, end) === 0) this.#connection.sayLast();
  }

  #onPriority(id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) throw protocolError("PRIORITY on stream 0");
    const stream = this.#connection.streams.get(id);
    const wrongSize = end - start !== 5;
    if (!wrongSize && (bytes.readUInt32BE(start) & maxWindowSize) !== id) return;
    const code = wrongSize ? errorCode.frameSizeError : errorCode.protocolError;
    if (stream !== undefined) this.#streamError(stream, code, "PRIORITY is malformed");
    else this.#connection.sender.reset(id, code);
  }

  #onGoaway(bytes: Buffer, start: number, end: number): void {
    if (end - start < 8) throw new ConnectionError(errorCode.frameSizeError, "GOAWAY is too short");
    const last = bytes.readUInt32BE(start) & maxWindowSize;
    const code = bytes.readUInt32BE(start + 4);
    this.#connection.draining = true;
    if (this.#connection.isServer) return;
    for (const stream of this.#connection.streams.values()) {
      if (stream.id <= last) continue;
      this.#connection.remove(stream, false);
      stream.handler?.onReset(errorCode.refusedStream, `the server is going away (${code})`);
    }
  }

  #closeRemote(stream: Stream): void {
    stream.remoteClosed = true;
    if (stream.localClosed) this.#connection.remove(stream, false);
  }

  #streamError(stream: Stream, code: ErrorCode, message: string): void {
    this.#countReset();
    stream.reset(code);
    stream.handler?.onReset(code, message);
  }

  #checkNotIdle(id: number): void {
    const last =
      ((id & 1) === 1) === this.#connection.isServer
        ? this.lastStream
        : this.#connection.isServer
          ? 0
          : this.#connection.lastOpened;
    if (id > last) throw protocolError(`stream ${id} is idle`);
  }

  #countControl(): void {
    if (!this.#control.take()) throw new ConnectionError(errorCode.enhanceYourCalm, "too many control frames");
  }

  #countReset(): void {
    if (!this.#resets.take()) throw new ConnectionError(errorCode.enhanceYourCalm, "too many streams were reset");
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
