import { FaultError } from "../../lib/faults.ts";

/** One byte that says whether the message is compressed, four of length. */
export const prefixSize: number = 5;

const empty = Buffer.alloc(0);

/**
 * Cuts a stream's bytes into messages. A message that lies within one chunk is passed on in place.
 * Errors: resourceExhausted (larger than allowed), internal (a prefix that means nothing).
 */
export class MessageReader {
  /** Whether the message that was taken last is compressed. */
  compressed = false;
  /** Bytes that came, and those of messages that were taken. */
  arrived = 0;
  taken = 0;
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #offset = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True while part of a message is held. */
  get partial(): boolean {
    return this.arrived > this.taken;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.arrived += chunk.length;
    this.#chunks.push(chunk);
  }

  /** The next whole message, undefined while there is none. */
  next(): Buffer | undefined {
    const held = this.arrived - this.taken;
    if (held < prefixSize) return undefined;
    const flags = this.#peek(0);
    const length = this.#peek(1) * 0x100_0000 + ((this.#peek(2) << 16) | (this.#peek(3) << 8) | this.#peek(4));
    if (flags > 1) throw new FaultError("internal", `grpc: received unexpected payload format ${flags}`);
    if (length > this.#maxBytes) throw tooLarge(length, this.#maxBytes);
    if (held < prefixSize + length) return undefined;
    this.compressed = flags === 1;
    this.taken += prefixSize + length;
    this.#skip(prefixSize);
    return this.#cut(length);
  }

  #peek(at: number): number {
    let index = this.#offset + at;
    for (const chunk of this.#chunks) {
      if (index < chunk.length) return chunk[index]!;
      index -= chunk.length;
    }
    return 0;
  }

  #skip(count: number): void {
    this.#offset += count;
    let done = 0;
    while (done < this.#chunks.length && this.#offset >= this.#chunks[done]!.length) {
      this.#offset -= this.#chunks[done]!.length;
      done++;
    }
    if (done > 0) this.#chunks.splice(0, done);
  }

  #cut(length: number): Buffer {
    if (length === 0) return empty;
    const first = this.#chunks[0]!;
    if (first.length - this.#offset >= length) {
      const message = first.subarray(this.#offset, this.#offset + length);
      this.#skip(length);
      return message;
    }
    const message = Buffer.allocUnsafeSlow(length);
    let at = 0;
    for (const chunk of this.#chunks) {
      const from = at === 0 ? this.#offset : 0;
      at += chunk.copy(message, at, from, Math.min(chunk.length, from + length - at));
      if (at === length) break;
    }
    this.#skip(length);
    return message;
  }
}

/** Source: grpc-go rpc_util.go, recv. */
export function tooLarge(length: number, max: number): FaultError {
  return new FaultError("resourceExhausted", `grpc: received message larger than max (${length} vs. ${max})`);
}
