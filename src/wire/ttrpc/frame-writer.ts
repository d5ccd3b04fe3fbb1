import type { Socket } from "bun";
import { encodeFrame } from "./frames.ts";

/** Above this many unsent bytes a producer of stream data waits. */
const highWaterBytes = 1 << 20;

/** Above this many the peer is taken for dead: it has answers to read and does not. */
const maxQueuedBytes = 64 << 20;

/** Sends frames over one socket, in order, and tells when the peer reads too slowly. */
export class FrameWriter {
  readonly #socket: Pick<Socket<unknown>, "write" | "terminate">;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #closed = false;
  #waiters: (() => void)[] = [];

  constructor(socket: Pick<Socket<unknown>, "write" | "terminate">) {
    this.#socket = socket;
  }

  /** Sends or queues one frame. Effects: a queue of more than 64 MiB ends the connection. */
  send(stream: number, type: number, flags: number, payload: Uint8Array): void {
    if (this.#closed) return;
    const bytes = encodeFrame(stream, type, flags, payload);
    if (this.#queue.length > 0) return this.#enqueue(bytes);
    const written = Math.max(0, this.#socket.write(bytes));
    if (written < bytes.length) this.#enqueue(bytes.subarray(written));
  }

  /** Settles when less than 1 MiB waits to be sent, or the connection is gone. */
  writable(): Promise<void> | undefined {
    if (this.#closed || this.#queuedBytes < highWaterBytes) return undefined;
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** To be called when the socket takes bytes again. */
  drain(): void {
    while (this.#queue.length > 0) {
      const bytes = this.#queue[0] as Uint8Array;
      const written = Math.max(0, this.#socket.write(bytes));
      this.#queuedBytes -= written;
      if (written < bytes.length) {
        this.#queue[0] = bytes.subarray(written);
        break;
      }
      this.#queue.shift();
    }
    if (this.#queuedBytes < highWaterBytes) this.#wake();
  }

  /** To be called when the socket is gone: drops what was queued and lets waiters go. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#wake();
  }

  #enqueue(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > maxQueuedBytes) this.#socket.terminate();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
