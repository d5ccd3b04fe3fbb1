/** Bounds of a queue: it takes no more than so many items, and no more than so many bytes. */
export interface QueueBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

interface Reader<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A queue between one writer that never waits and one reader that may be slow. What to do when it is full is the writer's to say.
 * Shape: an iterator; ending it early (`return`) drops what is queued and runs `onEnd`, as does failing it.
 */
export class BoundedQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #bounds: QueueBounds;
  readonly #onEnd: () => void;
  #items: { readonly item: T; readonly bytes: number }[] = [];
  /** The first item not yet taken. Taken ones are cut off in bulk, as shift() is slow on long arrays. */
  #head = 0;
  #bytes = 0;
  #readers: Reader<T>[] = [];
  #state: "open" | "closed" | "failed" = "open";
  #failure: unknown;

  constructor(bounds: QueueBounds, onEnd: () => void = () => {}) {
    this.#bounds = bounds;
    this.#onEnd = onEnd;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  /** Adds an item; false when it does not fit or the queue has ended, with nothing changed. */
  push(item: T, bytes: number): boolean {
    if (this.#state !== "open") return false;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: item });
      return true;
    }
    if (this.length >= this.#bounds.maxItems || this.#bytes + bytes > this.#bounds.maxBytes) return false;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** Ends the queue once the reader has what is queued. */
  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closed";
    for (const reader of this.#readers.splice(0)) reader.resolve({ done: true, value: undefined });
    this.#onEnd();
  }

  /** Ends the queue once the reader has what is queued, with a failure as its last word. */
  closeWith(error: unknown): void {
    if (this.#state !== "open") return;
    const reader = this.#readers.shift();
    this.close();
    if (reader !== undefined) {
      reader.reject(error);
      return;
    }
    this.#state = "failed";
    this.#failure = error;
  }

  /** Ends the queue at once: the reader gets the failure, and what is queued is dropped. */
  fail(error: unknown): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    this.#failure = error;
    this.#drop();
    for (const reader of this.#readers.splice(0)) {
      reader.reject(error);
      this.#state = "closed";
    }
    this.#onEnd();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const entry = this.#items[this.#head];
    if (entry !== undefined) {
      this.#head += 1;
      this.#bytes -= entry.bytes;
      if (this.#head === this.#items.length || this.#head >= 1024) this.#cut();
      return Promise.resolve({ done: false, value: entry.item });
    }
    if (this.#state === "open") return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    if (this.#state === "closed") return Promise.resolve({ done: true, value: undefined });
    this.#state = "closed";
    return Promise.reject(this.#failure);
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.close();
    this.#drop();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #cut(): void {
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }

  #drop(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
