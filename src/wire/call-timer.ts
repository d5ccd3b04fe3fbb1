/** The longest that setTimeout waits; for more it does not wait at all. */
const longestMs = 2 ** 31 - 1;

/**
 * Runs something once so many milliseconds have passed; stops when disposed.
 * Shape: any number: what setTimeout can't wait for is waited for in pieces, infinity never comes, and what has passed comes next.
 * Effects: `unref` keeps it from holding the process.
 */
export class CallTimer implements Disposable {
  readonly #run: () => void;
  readonly #unref: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(timeoutMs: number, run: () => void, { unref = false }: { readonly unref?: boolean } = {}) {
    this.#run = run;
    this.#unref = unref;
    this.#wait(Math.max(timeoutMs, 0));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    if (ms === Number.POSITIVE_INFINITY) return;
    const piece = Math.min(ms, longestMs);
    this.#timer = setTimeout(() => (ms > piece ? this.#wait(ms - piece) : this.#run()), piece);
    if (this.#unref) this.#timer.unref();
  }
}
