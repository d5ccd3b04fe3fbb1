/** One lock a key, kept only while somebody holds or awaits it; first come, first served. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /** Waits for the key and holds it until the answer is disposed. */
  async lock(key: string): Promise<Disposable> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    await before;
    return {
      [Symbol.dispose]: () => {
        if (this.#tails.get(key) === promise) this.#tails.delete(key);
        resolve();
      },
    };
  }

  /** Whether somebody holds that key. */
  holds(key: string): boolean {
    return this.#tails.has(key);
  }

  /** How many keys are held. */
  get size(): number {
    return this.#tails.size;
  }
}
