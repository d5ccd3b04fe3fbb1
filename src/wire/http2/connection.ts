import { FrameReader } from "./frame-reader.ts";
import { drainPing, FrameReceiver } from "./frame-receiver.ts";
import type { HeaderBlock } from "./header-block.ts";
import type { HeaderSource } from "./hpack-encoder.ts";
import type { ConnectionLimits } from "./limits.ts";
import type { Lookout, Watched } from "./lookout.ts";
import {
  ConnectionError,
  connectionPreface,
  errorCode,
  maxWindowSize,
  protocolDefaults,
  settingId,
} from "./protocol.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { Sender } from "./sender.ts";
import type { SettingsTarget } from "./settings.ts";
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
  /** Looks out for calls, on a server's side. */
  readonly lookout?: Lookout | undefined;
}

/** Above this many bytes of frames that the socket does not take, nothing more is read from the peer. */
const pauseReadingAt = 1024 * 1024;
const alivePing: Buffer = Buffer.from("alive\0\0\0");

/**
 * One HTTP/2 connection, either side. Feed it what the socket delivers: `receive`, `drained`, `disconnected`.
 * Invariant: whatever the peer sends, memory stays within the limits, and a stream's handler hears nothing after
 * `onReset`, `onTrailers` or a last `onData`.
 * Source: RFC 9113.
 */
export class Connection implements SettingsTarget, Watched {
  readonly isServer: boolean;
  readonly limits: ConnectionLimits;
  readonly sender: Sender;
  readonly streams: Map<number, Stream> = new Map();
  readonly incoming: ReceiveWindow;
  readonly lookout: Lookout | undefined;
  /** When the peer last said anything, on performance.now's clock. */
  heardAt: number = performance.now();
  peerMaxStreams: number = Number.POSITIVE_INFINITY;
  /** Bytes of a header list that the peer takes; see `headerListSize`. */
  peerMaxHeaderList: number = Number.POSITIVE_INFINITY;
  /** No more streams are taken, or may be opened. */
  draining = false;
  closed = false;
  /** The last stream that we opened, as a client. */
  lastOpened = -1;
  readonly #transport: Transport;
  readonly #handler: ConnectionHandler;
  readonly #reader: FrameReader;
  readonly #frames: FrameReceiver;
  #paused = false;
  /** Streams that were open before the last bytes came, and the last of the peer's by then. */
  #standing = 0;
  #standingLast = 0;

  constructor(options: ConnectionOptions) {
    const { limits } = options;
    this.isServer = options.isServer;
    this.limits = limits;
    this.#transport = options.transport;
    this.#handler = options.handler;
    this.lookout = options.lookout;
    this.sender = new Sender(options.transport, () => this.#afterFlush());
    this.incoming = new ReceiveWindow(limits, this.sender);
    this.#frames = new FrameReceiver(this, options.handler);
    this.#reader = new FrameReader(this.#frames, limits.maxFrameSize, options.isServer);
    this.#greet();
  }

  /** The peer has said who it is. */
  get established(): boolean {
    return this.#frames.established;
  }

  get fd(): number | undefined {
    return this.closed ? undefined : this.#transport.fd;
  }

  /** Calls that wait for long (an event stream, a container's Wait) are not looked at: they stood before. */
  get idle(): boolean {
    return !this.closed && !this.draining && this.streams.size <= this.#standing && this.sender.out.size === 0;
  }

  /** Opens a stream, as a client. */
  open(source: HeaderSource, handler: StreamHandler, end = false): Stream {
    this.lastOpened += 2;
    const stream = this.create(this.lastOpened);
    stream.handler = handler;
    stream.sendHeaders(source, end);
    return stream;
  }

  /** Makes a stream and takes it in. */
  create(id: number): Stream {
    const stream = new Stream(this, id, this.sender.initialWindow, this.limits.streamWindow);
    this.streams.set(id, stream);
    return stream;
  }

  /** Bytes came from the socket. True when nobody needs their memory any more. */
  receive(chunk: Buffer): boolean {
    if (this.closed) return true;
    this.#frames.keepsBytes = false;
    this.heardAt = performance.now();
    this.#standing = this.streams.size;
    this.#standingLast = this.#frames.lastStream;
    this.sender.corked = true;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.sender.corked = false;
    }
    if (!this.closed) this.sender.flush();
    return !this.#frames.keepsBytes;
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
    this.lookout?.forget(this);
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
    if (this.isServer && this.#frames.established) {
      // Streams that are on their way are still served: the last number is said once this ping has come back.
      this.sender.goaway(maxWindowSize, errorCode.noError, "");
      this.sender.ping(drainPing, 0, false);
    } else {
      this.sayLast();
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

  /** Lets go of a stream. */
  remove(stream: Stream, resetByUs: boolean): void {
    if (stream.gone) return;
    stream.drop();
    this.streams.delete(stream.id);
    this.incoming.release(stream);
    this.#frames.forget(stream.id, resetByUs);
    if (this.draining && this.streams.size === 0) this.sender.touch();
  }

  /** Says which stream was the last, and hangs up once the present ones have ended. */
  sayLast(): void {
    this.#frames.refuseAbove = this.#frames.lastStream;
    this.sender.goaway(this.#frames.lastStream, errorCode.noError, "");
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
    const saidLast = this.#frames.refuseAbove < maxWindowSize || !this.isServer;
    if (this.draining && saidLast && this.streams.size === 0 && size === 0) this.#transport.end();
    const calls = (this.#frames.lastStream - this.#standingLast) / 2;
    if (this.lookout === undefined || calls === 0 || !this.idle) return;
    this.#standingLast = this.#frames.lastStream;
    this.lookout.answered(this, calls);
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

  /** Tells the peer why, as far as the socket takes it, and hangs up. */
  #fail(error: unknown): void {
    const known = error instanceof ConnectionError;
    const message = error instanceof Error ? error.message : String(error);
    this.sender.goaway(this.#frames.lastStream, known ? error.code : errorCode.internalError, message);
    this.sender.out.flush();
    this.#transport.end();
    this.disconnected(error instanceof Error ? error : new Error(message));
  }
}
