/**
 * Orders the operations of one task: exclusive ones run alone, shared ones together, all in the order in which they came.
 * Effects: waiting callers are bounded by the calls of the connections that brought them.
 */
export class OperationLock {
  #shared = 0;
  #exclusive = false;
  readonly #queue: { readonly exclusive: boolean; readonly enter: () => void }[] = [];

  /** Whether an exclusive operation is under way. */
  get isExclusive(): boolean {
    return this.#exclusive;
  }

  exclusive(): Promise<Disposable> {
    return this.#enter(true);
  }

  shared(): Promise<Disposable> {
    return this.#enter(false);
  }

  #enter(exclusive: boolean): Promise<Disposable> {
    return new Promise((resolve) => {
      this.#queue.push({ exclusive, enter: () => resolve(this.#lease(exclusive)) });
      this.#advance();
    });
  }

  #lease(exclusive: boolean): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        if (exclusive) this.#exclusive = false;
        else this.#shared--;
        this.#advance();
      },
    };
  }

  #advance(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (this.#exclusive || (next.exclusive && this.#shared > 0)) return;
      this.#queue.shift();
      if (next.exclusive) this.#exclusive = true;
      else this.#shared++;
      next.enter();
    }
  }
}
