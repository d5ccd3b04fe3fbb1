import { abortFault } from "./ctx.ts";

/** A number of places, given in the order they are asked for. */
export interface Slots {
  /** Waits for a place and holds it until the answer is disposed. Errors: what the signal says. */
  take(signal: AbortSignal): Promise<Disposable>;
  /** A place that is free just now; undefined when there is none. */
  tryTake(): Disposable | undefined;
}

export function createSlots(count: number): Slots {
  let free = count;
  const waiting = new Set<() => void>();
  const release = (): void => {
    free++;
    const [next] = waiting;
    next?.();
  };
  const place = (): Disposable => {
    free--;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) release();
        held = false;
      },
    };
  };
  return {
    tryTake: () => (free > 0 ? place() : undefined),
    take: (signal) => {
      if (signal.aborted) return Promise.reject(abortFault(signal));
      if (free > 0) return Promise.resolve(place());
      return new Promise((resolve, reject) => {
        const leave = (): void => {
          waiting.delete(enter);
          signal.removeEventListener("abort", abort);
        };
        const enter = (): void => {
          leave();
          resolve(place());
        };
        const abort = (): void => {
          leave();
          reject(abortFault(signal));
        };
        waiting.add(enter);
        signal.addEventListener("abort", abort, { once: true });
      });
    },
  };
}
