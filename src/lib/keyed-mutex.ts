/** One lock a key, kept only while somebody holds or awaits it; first come, first served. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();
  /** How many hold or await each key. */
  readonly #counts = new Map<string, number>();

  /** Waits for the key and holds it until the answer is disposed. */
  async lock(key: string): Promise<Disposable> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    await before;
    return {
      [Symbol.dispose]: () => {
        const left = (this.#counts.get(key) ?? 1) - 1;
        if (left === 0) this.#counts.delete(key);
        else this.#counts.set(key, left);
        if (this.#tails.get(key) === promise) this.#tails.delete(key);
        resolve();
      },
    };
  }

  /** Whether somebody holds that key. */
  holds(key: string): boolean {
    return this.#tails.has(key);
  }

  /** How many wait for that key while somebody holds it. */
  waiting(key: string): number {
    return Math.max(0, (this.#counts.get(key) ?? 0) - 1);
  }

  /** How many keys are held. */
  get size(): number {
    return this.#tails.size;
  }
}
