import { FaultError } from "../../lib/faults.ts";

/** One byte that says whether the message is compressed, four of length. */
export const prefixSize: number = 5;

const empty = Buffer.alloc(0);
/** What is given back is kept for messages of this size or more; memory for smaller ones costs nothing. */
const reusedBytes = 64 * 1024;
/** As much is kept in all, and one piece whatever its size: about what a sender may be ahead. */
const keptBytes = 1 << 20;
/** Memory grows by this factor as a message comes: its length alone, which costs the peer nothing, reserves little. */
const growth = 4;

interface Message {
  readonly payload: Buffer;
  readonly compressed: boolean;
}

/**
 * Cuts a stream's bytes into messages, each in memory of its own: what is pushed is of no use to it afterwards.
 * Errors: resourceExhausted (larger than allowed), internal (a prefix that means nothing); after the messages before it.
 */
export class MessageReader {
  /** Whether the message that was taken last is compressed. */
  compressed = false;
  /** Bytes that came, and those of messages that were taken. */
  arrived = 0;
  taken = 0;
  readonly #maxBytes: number;
  readonly #whole: Message[] = [];
  readonly #prefix: Buffer = Buffer.allocUnsafe(prefixSize);
  #prefixFilled = 0;
  #body: Buffer | undefined;
  #bodyFilled = 0;
  #bodyLength = 0;
  /** Memory that was given back, the smallest first. */
  readonly #spares: Buffer[] = [];
  #spareBytes = 0;
  #fault: FaultError | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True while part of a message is held. */
  get partial(): boolean {
    return this.arrived > this.taken;
  }

  push(chunk: Buffer): void {
    this.arrived += chunk.length;
    for (let at = 0; at < chunk.length && this.#fault === undefined; ) {
      at += this.#body === undefined ? this.#takePrefix(chunk, at) : this.#takeBody(this.#body, chunk, at);
    }
  }

  /** The next whole message, undefined while there is none. */
  next(): Buffer | undefined {
    const message = this.#whole.shift();
    if (message === undefined) {
      if (this.#fault !== undefined) throw this.#fault;
      return undefined;
    }
    this.taken += prefixSize + message.payload.length;
    this.compressed = message.compressed;
    return message.payload;
  }

  /** Takes the memory of a message back, for another one. */
  giveBack(payload: Buffer): void {
    if (payload.length < reusedBytes) return;
    const capacity = payload.buffer.byteLength;
    const after = this.#spares.findIndex((spare) => spare.length >= capacity);
    this.#spares.splice(after < 0 ? this.#spares.length : after, 0, Buffer.from(payload.buffer, 0, capacity));
    this.#spareBytes += capacity;
    // The largest fits every message.
    while (this.#spares.length > 1 && this.#spareBytes > keptBytes) {
      this.#spareBytes -= this.#spares.shift()?.length ?? 0;
    }
  }

  #takePrefix(chunk: Buffer, at: number): number {
    const count = chunk.copy(this.#prefix, this.#prefixFilled, at, at + prefixSize - this.#prefixFilled);
    this.#prefixFilled += count;
    if (this.#prefixFilled < prefixSize) return count;
    this.#prefixFilled = 0;
    const flags = this.#prefix[0] as number;
    const length = this.#prefix.readUInt32BE(1);
    if (flags > 1) this.#fault = new FaultError("internal", `grpc: received unexpected payload format ${flags}`);
    else if (length > this.#maxBytes) this.#fault = tooLarge(length, this.#maxBytes);
    else if (length === 0) this.#whole.push({ payload: empty, compressed: flags === 1 });
    else {
      this.#bodyLength = length;
      this.#bodyFilled = 0;
      this.#body = this.#memoryFor(length);
    }
    return count;
  }

  #takeBody(held: Buffer, chunk: Buffer, at: number): number {
    let body = held;
    const count = Math.min(this.#bodyLength - this.#bodyFilled, chunk.length - at);
    if (this.#bodyFilled + count > body.length) {
      body = Buffer.allocUnsafeSlow(Math.min(roundedUp(this.#bodyLength), (this.#bodyFilled + count) * growth));
      held.copy(body, 0, 0, this.#bodyFilled);
      this.#body = body;
    }
    chunk.copy(body, this.#bodyFilled, at, at + count);
    this.#bodyFilled += count;
    if (this.#bodyFilled === this.#bodyLength) {
      this.#whole.push({ payload: body.subarray(0, this.#bodyLength), compressed: this.#prefix[0] === 1 });
      this.#body = undefined;
    }
    return count;
  }

  #memoryFor(length: number): Buffer {
    if (length < reusedBytes) return Buffer.allocUnsafe(length);
    const fit = this.#spares.findIndex((spare) => spare.length >= length);
    const [spare] = fit < 0 ? [] : this.#spares.splice(fit, 1);
    if (spare !== undefined) {
      this.#spareBytes -= spare.length;
      return spare;
    }
    return Buffer.allocUnsafeSlow(reusedBytes);
  }
}

/** Messages of a stream differ by a few bytes: what one lay in is to be good for the next. */
function roundedUp(length: number): number {
  return Math.ceil(length / reusedBytes) * reusedBytes;
}

/** Source: grpc-go rpc_util.go, recv. */
export function tooLarge(length: number, max: number): FaultError {
  return new FaultError("resourceExhausted", `grpc: received message larger than max (${length} vs. ${max})`);
}
