import { fault } from "../../lib/faults.ts";

/**
 * The messages of one stream that its reader has not taken yet.
 * Effects: bounded; when it is full the stream fails with resourceExhausted, as ttrpc knows no flow control.
 */
export class Inbox implements AsyncIterable<Uint8Array> {
  readonly #capacity: number;
  #items: Uint8Array[] = [];
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  push(item: Uint8Array): void {
    if (this.#ended) return;
    if (this.#items.length >= this.#capacity) {
      return this.end(fault("resourceExhausted", `stream buffer of ${this.#capacity} messages full`));
    }
    this.#items.push(item);
    this.#wake?.();
  }

  /** Ends the stream after what is queued; the first end counts. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const item = this.#items.shift();
        if (item !== undefined) yield item;
        else if (this.#error !== undefined) throw this.#error;
        else if (this.#ended) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.end();
      this.#items = [];
    }
  }
}
