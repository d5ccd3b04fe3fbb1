import { abortFault } from "./ctx.ts";

/**
 * Work that many wait for, each until it gives up: of those that gave up nothing is kept, however long the work goes on. What waits for
 * a promise can't take that back.
 */
export class SharedWait<T> {
  readonly #work: Promise<T>;
  readonly #waiting = new Set<() => void>();
  #settled = false;

  constructor(work: Promise<T>) {
    this.#work = work;
    const settle = (): void => {
      this.#settled = true;
      for (const tell of this.#waiting) tell();
      this.#waiting.clear();
    };
    work.then(settle, settle);
  }

  /** How many wait. */
  get count(): number {
    return this.#waiting.size;
  }

  /** Waits for the work; rejects as soon as the signal fires. Effects: the work goes on without us. */
  wait(signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortFault(signal));
      if (this.#settled) return resolve(this.#work);
      const tell = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve(this.#work);
      };
      const onAbort = (): void => {
        this.#waiting.delete(tell);
        reject(abortFault(signal));
      };
      this.#waiting.add(tell);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
