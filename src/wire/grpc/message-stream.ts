import type { FaultError } from "../../lib/faults.ts";
import { gunzipMessage } from "./gzip.ts";
import { MessageReader } from "./message-reader.ts";

export interface MessageStreamOptions<T> {
  readonly maxBytes: number;
  /** Errors: FaultError. */
  readonly decode: (payload: Uint8Array) => T;
  /** Lets the peer send as many bytes more. */
  readonly credit: (bytes: number) => void;
  /** The reader left before the end. */
  readonly left: () => void;
  /** A message is the reader's only until it asks for the next: its memory is used again. */
  readonly lends?: boolean | undefined;
}

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The messages that come on a stream, for one reader. The peer may send on only as messages are taken, so what waits
 * is bounded by the stream's window and one message.
 */
export class MessageStream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: MessageStreamOptions<T>;
  readonly #reader: MessageReader;
  /** Bytes the peer was told are dealt with. */
  #credited = 0;
  #waiter: Waiter<T> | undefined;
  #ended = false;
  #fault: FaultError | undefined;
  /** The message that the reader has. */
  #lent: Buffer | undefined;

  constructor(options: MessageStreamOptions<T>) {
    this.#options = options;
    this.#reader = new MessageReader(options.maxBytes);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Somebody waits for a message that has not come. */
  get waited(): boolean {
    return this.#waiter !== undefined;
  }

  /** Bytes came; they are copied. */
  push(bytes: Buffer): void {
    if (this.#ended) return;
    this.#reader.push(bytes);
    this.#serve();
  }

  /** Nothing more comes; with a fault, the reader gets it after the messages that came before. */
  close(fault?: FaultError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#fault = fault;
    this.#serve();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#waiter !== undefined) return Promise.reject(new Error("a stream was read twice at once"));
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T, undefined>>();
    this.#waiter = { resolve, reject };
    if (this.#lent !== undefined) this.#reader.giveBack(this.#lent);
    this.#lent = undefined;
    this.#serve();
    return promise;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (!this.#ended) {
      this.#ended = true;
      this.#options.left();
    }
    this.#fault = undefined;
    this.#waiter?.resolve({ done: true, value: undefined });
    this.#waiter = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Gives the waiting reader what there is. */
  #serve(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    try {
      const payload = this.#reader.next();
      if (payload !== undefined) {
        this.#waiter = undefined;
        this.#creditUpTo(this.#reader.taken);
        this.#deliver(waiter, payload);
      } else if (this.#ended) {
        this.#waiter = undefined;
        if (this.#fault === undefined) waiter.resolve({ done: true, value: undefined });
        else waiter.reject(this.#fault);
      } else {
        // What came belongs to the message that is waited for, which may be larger than the window.
        this.#creditUpTo(this.#reader.arrived);
      }
    } catch (error) {
      this.#waiter = undefined;
      waiter.reject(error);
    }
  }

  #deliver(waiter: Waiter<T>, payload: Buffer): void {
    if (!this.#reader.compressed) {
      if (this.#options.lends === true) this.#lent = payload;
      waiter.resolve({ done: false, value: this.#options.decode(payload) });
      return;
    }
    gunzipMessage(payload, this.#options.maxBytes)
      .then((unpacked) => waiter.resolve({ done: false, value: this.#options.decode(unpacked) }))
      .catch(waiter.reject);
  }

  #creditUpTo(position: number): void {
    const bytes = position - this.#credited;
    if (bytes <= 0) return;
    this.#credited = position;
    this.#options.credit(bytes);
  }
}
