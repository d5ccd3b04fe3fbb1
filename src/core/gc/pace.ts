/** How work on the loop is cut up, so that others hardly feel it. */
export interface Pace {
  /** How long the loop is kept at once, now. */
  sliceMs(): number;
  /** Gives the loop to others. */
  rest(): Promise<void>;
}

export interface Busy {
  /** How long the loop was kept in all, and the most at once. */
  busyMs: number;
  longestMs: number;
}

/** Runs steps in slices. Errors: what a step throws, what the signal says. */
export async function runPaced(
  steps: Generator<void, void>,
  pace: Pace,
  busy: Busy,
  signal: AbortSignal,
): Promise<void> {
  for (let done = false; !done; ) {
    signal.throwIfAborted();
    const start = performance.now();
    let now = start;
    const sliceMs = pace.sliceMs();
    while (!done && now - start < sliceMs) {
      done = steps.next().done === true;
      now = performance.now();
    }
    note(busy, now - start);
    if (!done) await pace.rest();
  }
}

/** Adds a stretch of work that was measured elsewhere. */
export function note(busy: Busy, ms: number): void {
  busy.busyMs += ms;
  busy.longestMs = Math.max(busy.longestMs, ms);
}

/** So many rests at first are but a turn of the loop: a small store is done by then. */
const eagerRests = 100;

/**
 * Slices so short that a call in their way hardly shows, and rests so long that the daemon, on a machine that is busy with
 * other things, is not taken for one that wants a processor to itself; the first ones are shorter while somebody waits (ADR 20).
 */
export function createPace(isAwaited: () => boolean): Pace {
  let rests = 0;
  return {
    sliceMs: () => 0.04,
    rest: () =>
      new Promise((resolve) => {
        if (isAwaited() && rests++ < eagerRests) setImmediate(resolve);
        // After the pause a turn of the loop: what has come in meanwhile goes first.
        else setTimeout(() => setImmediate(resolve), 2);
      }),
  };
}
