/** A key that is held. */
interface Held {
  /** Settles when the last of those who came so far is done. */
  tail: Promise<void>;
  /** How many hold or await it. */
  count: number;
}

/** One lock a key, kept only while somebody holds or awaits it; first come, first served. */
export class KeyedMutex {
  readonly #held = new Map<string, Held>();

  /** Waits for the key and holds it until the answer is disposed. */
  async lock(key: string): Promise<Disposable> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const held = this.#held.get(key) ?? { tail: Promise.resolve(), count: 0 };
    const before = held.tail;
    this.#held.set(key, held);
    held.tail = promise;
    held.count++;
    await before;
    let isMine = true;
    return {
      [Symbol.dispose]: () => {
        if (!isMine) return;
        isMine = false;
        held.count--;
        if (held.count === 0) this.#held.delete(key);
        resolve();
      },
    };
  }

  /** Whether somebody holds that key. */
  holds(key: string): boolean {
    return this.#held.has(key);
  }

  /** How many wait for that key while somebody holds it. */
  waiting(key: string): number {
    return Math.max(0, (this.#held.get(key)?.count ?? 0) - 1);
  }

  /** How many keys are held. */
  get size(): number {
    return this.#held.size;
  }
}
