import type { Socket } from "bun";
import { type FaultError, fault, messageOf, unavailable } from "../../lib/faults.ts";
import { HpackDecoder } from "../../wire/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../wire/http2/hpack-encoder.ts";
import {
  bodyOf,
  cancelCode,
  type Frame,
  FrameReader,
  frame,
  frameFlag,
  frameType,
  numberFrame,
  settingsFrame,
} from "./frames.ts";

/** What a stream hears from its session. */
export interface StreamHandler {
  headers(fields: readonly string[]): void;
  data(bytes: Buffer): void;
  /** The peer is done; `reset` carries RST_STREAM's code. */
  end(reset: number | undefined): void;
  /** The connection is gone. */
  lost(error: FaultError): void;
  /** More may be written. */
  writable(): void;
}

export interface Stream {
  /** Writes as much as windows and socket allow and says how much that was. */
  write(bytes: Uint8Array, end: boolean): number;
  /** Gives the peer back the room that consumed bytes took. */
  consumed(count: number): void;
  cancel(): void;
}

interface StreamState {
  readonly handler: StreamHandler;
  sendWindow: number;
  /** Room that was given back but not told yet. */
  owed: number;
}

/** Room for unread bytes a stream; the connection's is larger, so that a stream that nobody reads holds up no other. */
const streamWindow = 4 * 1024 * 1024;
const connectionWindow = 256 * 1024 * 1024;
/** Room is given back in lumps of at least this part of the window: small answers then cost the peer no frame each. */
const owedShare = 4;
const maxFramePayload = 1024 * 1024;
const maxHeaderList = 1024 * 1024;
/** Written bytes that the socket has not taken are held up to here. */
const maxPendingBytes = 1024 * 1024;

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/**
 * The client's side of one HTTP/2 connection over a unix socket: what gRPC needs and no more.
 * It exists beside node:http2 because loading that costs a third of a short command's time.
 * Source: RFC 9113.
 */
export class ClientSession {
  readonly closed: Promise<Error | undefined>;
  #settleClosed: (error: Error | undefined) => void = () => {};
  #socket: Socket<undefined> | undefined;
  #lost: FaultError | undefined;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #nextId = 1;
  #sendWindow = 65535;
  #initialWindow = 65535;
  #peerFrame = 16384;
  #owed = 0;
  readonly #streams = new Map<number, StreamState>();
  readonly #reader = new FrameReader(maxFramePayload);
  readonly #decoder = new HpackDecoder();
  readonly #encoder = new HpackEncoder();
  #block: { readonly streamId: number; readonly endStream: boolean; parts: Buffer[] } | undefined;

  constructor(path: string) {
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#send(
      Buffer.concat([
        preface,
        settingsFrame([
          [2, 0],
          [4, streamWindow],
          [5, maxFramePayload],
          [6, maxHeaderList],
        ]),
        numberFrame(frameType.windowUpdate, 0, connectionWindow - 65535),
      ]),
    );
    void this.#connect(path);
  }

  /** Opens a stream. Its header fields are names and values by turns. */
  open(fields: readonly string[], handler: StreamHandler): Stream {
    if (this.#lost !== undefined) {
      const error = this.#lost;
      queueMicrotask(() => handler.lost(error));
      return { write: (bytes) => bytes.length, consumed: () => {}, cancel: () => {} };
    }
    const id = this.#nextId;
    this.#nextId += 2;
    const state: StreamState = { handler, sendWindow: this.#initialWindow, owed: 0 };
    this.#streams.set(id, state);
    this.#send(frame(frameType.headers, frameFlag.endHeaders, id, this.#encoder.encode(fields)));
    return {
      write: (bytes, end) => this.#write(id, state, bytes, end),
      consumed: (count) => {
        state.owed += count;
        if (state.owed < streamWindow / owedShare || !this.#streams.has(id)) return;
        this.#send(numberFrame(frameType.windowUpdate, id, state.owed));
        state.owed = 0;
      },
      cancel: () => {
        if (this.#streams.delete(id)) this.#send(numberFrame(frameType.rstStream, id, cancelCode));
      },
    };
  }

  /** Says goodbye and closes; streams that are still open are lost. */
  close(): void {
    if (this.#lost === undefined && this.#socket !== undefined) this.#socket.end();
    this.#fail(fault("canceled", "connection closed"), undefined);
  }

  async #connect(path: string): Promise<void> {
    try {
      this.#socket = await Bun.connect({
        unix: path,
        socket: {
          data: (_socket, chunk) => this.#receive(chunk),
          drain: () => this.#flush(),
          close: () => this.#fail(unavailable("connection closed by the daemon")),
          error: (_socket, error) => this.#fail(unavailable(`connection: ${messageOf(error)}`)),
        },
      });
      if (this.#lost === undefined) this.#flush();
      else this.#socket.end();
    } catch (error) {
      this.#fail(connectFault(path, error));
    }
  }

  #send(bytes: Buffer): void {
    if (this.#lost !== undefined) return;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pending.length === 1) queueMicrotask(() => this.#flush());
  }

  /** Frames that were made in one turn go out in one write. */
  #flush(): void {
    if (this.#socket === undefined || this.#pending.length === 0) return;
    const all = this.#pending.length === 1 ? (this.#pending[0] as Buffer) : Buffer.concat(this.#pending);
    const written = Math.max(0, this.#socket.write(all));
    const wasFull = this.#pendingBytes > maxPendingBytes;
    this.#pending = written < all.length ? [all.subarray(written)] : [];
    this.#pendingBytes = all.length - written;
    if (wasFull || this.#pendingBytes === 0) this.#wakeWriters();
  }

  #wakeWriters(): void {
    for (const state of this.#streams.values()) state.handler.writable();
  }

  #write(id: number, state: StreamState, bytes: Uint8Array, end: boolean): number {
    let written = 0;
    do {
      if (this.#pendingBytes > maxPendingBytes) break;
      const room = Math.min(bytes.length - written, state.sendWindow, this.#sendWindow, this.#peerFrame);
      if (room <= 0 && bytes.length > written) break;
      const last = written + room === bytes.length;
      const flags = end && last ? frameFlag.endStream : 0;
      this.#send(frame(frameType.data, flags, id, bytes.subarray(written, written + room)));
      state.sendWindow -= room;
      this.#sendWindow -= room;
      written += room;
    } while (written < bytes.length);
    return written;
  }

  #receive(chunk: Buffer): void {
    try {
      this.#reader.push(chunk, (received) => this.#handle(received));
    } catch (error) {
      this.#fail(fault("internal", `daemon broke the protocol: ${messageOf(error)}`));
      this.#socket?.terminate();
    }
  }

  #handle(received: Frame): void {
    switch (received.type) {
      case frameType.data:
        this.#handleData(received);
        return;
      case frameType.headers:
        this.#block = {
          streamId: received.streamId,
          endStream: (received.flags & frameFlag.endStream) !== 0,
          parts: [Buffer.from(bodyOf(received))],
        };
        if (received.flags & frameFlag.endHeaders) this.#handleBlock();
        return;
      case frameType.continuation:
        this.#block?.parts.push(Buffer.from(received.payload));
        if (received.flags & frameFlag.endHeaders) this.#handleBlock();
        return;
      case frameType.rstStream:
        this.#endStream(received.streamId, received.payload.readUInt32BE(0));
        return;
      case frameType.settings:
        this.#handleSettings(received);
        return;
      case frameType.ping:
        if (!(received.flags & frameFlag.ack)) this.#send(frame(frameType.ping, frameFlag.ack, 0, received.payload));
        return;
      case frameType.goaway:
        this.#handleGoaway(received);
        return;
      case frameType.windowUpdate:
        this.#handleWindow(received);
        return;
    }
  }

  #handleData(received: Frame): void {
    this.#owed += received.payload.length;
    if (this.#owed >= connectionWindow / owedShare) {
      this.#send(numberFrame(frameType.windowUpdate, 0, this.#owed));
      this.#owed = 0;
    }
    const state = this.#streams.get(received.streamId);
    if (state === undefined) return;
    state.handler.data(bodyOf(received));
    if (received.flags & frameFlag.endStream) this.#endStream(received.streamId, undefined);
  }

  #handleBlock(): void {
    const block = this.#block;
    if (block === undefined) return;
    this.#block = undefined;
    const bytes = block.parts.length === 1 ? (block.parts[0] as Buffer) : Buffer.concat(block.parts);
    // A block must be decoded even for a stream that is gone: it may change the table.
    const fields = this.#decoder.decode(bytes, 0, bytes.length, maxHeaderList);
    this.#streams.get(block.streamId)?.handler.headers(fields ?? []);
    if (block.endStream) this.#endStream(block.streamId, undefined);
  }

  #endStream(id: number, reset: number | undefined): void {
    const state = this.#streams.get(id);
    this.#streams.delete(id);
    state?.handler.end(reset);
  }

  #handleSettings(received: Frame): void {
    if (received.flags & frameFlag.ack) return;
    for (let at = 0; at + 6 <= received.payload.length; at += 6) {
      const value = received.payload.readUInt32BE(at + 2);
      switch (received.payload.readUInt16BE(at)) {
        case 1:
          this.#encoder.limit(value);
          break;
        case 4:
          for (const state of this.#streams.values()) state.sendWindow += value - this.#initialWindow;
          this.#initialWindow = value;
          break;
        case 5:
          this.#peerFrame = Math.min(value, maxFramePayload);
          break;
      }
    }
    this.#send(frame(frameType.settings, frameFlag.ack, 0));
    this.#wakeWriters();
  }

  #handleGoaway(received: Frame): void {
    const code = received.payload.readUInt32BE(4);
    const text = received.payload.subarray(8).toString();
    if (code !== 0) this.#fail(unavailable(`connection refused by the daemon: ${text || `http2 error ${code}`}`));
  }

  #handleWindow(received: Frame): void {
    const count = received.payload.readUInt32BE(0) & 0x7fffffff;
    if (received.streamId === 0) {
      this.#sendWindow += count;
      this.#wakeWriters();
      return;
    }
    const state = this.#streams.get(received.streamId);
    if (state === undefined) return;
    state.sendWindow += count;
    state.handler.writable();
  }

  #fail(error: FaultError, reason: Error | undefined = error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const state of streams) state.handler.lost(error);
    this.#settleClosed(reason);
  }
}

function connectFault(path: string, error: unknown): FaultError {
  const code = (error as { code?: string } | undefined)?.code ?? "";
  const why =
    code === "ENOENT"
      ? "no such socket"
      : code === "ECONNREFUSED"
        ? "nobody listens on it"
        : code === "EACCES" || code === "EPERM"
          ? "permission denied"
          : messageOf(error);
  return unavailable(`connect to ${path}: ${why}`, { cause: error });
}
