/** Hands bytes from who has them to who wants them, one piece at a time. */
export class LayerFeed implements AsyncIterable<Uint8Array> {
  #piece: Uint8Array | undefined;
  #taken: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #ended = false;

  /** Settles when the piece was taken, or nobody wants it any more. */
  async push(bytes: Uint8Array): Promise<void> {
    if (this.#ended || bytes.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#piece = bytes;
    this.#taken = resolve;
    this.#wake?.();
    await promise;
  }

  /** No more follows, or no more is wanted. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
    this.#taken?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#piece;
      if (piece !== undefined) {
        this.#piece = undefined;
        yield piece;
        this.#taken?.();
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
