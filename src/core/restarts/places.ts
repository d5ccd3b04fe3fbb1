import { createSlots } from "../../lib/slots.ts";
import type { Timers } from "../../lib/timers.ts";

/** A number of places for work at shims. */
export interface Places {
  /** Waits for a place. Errors: what the signal says. */
  take(signal: AbortSignal): Promise<Disposable>;
}

/**
 * Makes places that are held until disposed, and no longer than `limitMs`: a shim that does not answer keeps its own container,
 * and not those that wait behind it.
 */
export function createPlaces(count: number, limitMs: number, timers: Timers): Places {
  const slots = createSlots(count);
  return {
    take: async (signal) => {
      const place = await slots.take(signal);
      const timer = timers.after(limitMs, () => place[Symbol.dispose]());
      return {
        [Symbol.dispose]: () => {
          timer[Symbol.dispose]();
          place[Symbol.dispose]();
        },
      };
    },
  };
}
