/** What the monitor needs of time: a clock that nobody sets, and actions later. */
export interface Timers {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Runs an action later, unless disposed of before. Shape: `ms` may be as large as it likes. */
  after(ms: number, action: () => void): Disposable;
}

/** What setTimeout can wait for: more counts as nothing, and fires at once. Source: Node's timers, TIMEOUT_MAX. */
const timeoutMax = 2 ** 31 - 1;

type SetTimer = (action: () => void, ms: number) => ReturnType<typeof setTimeout>;

/** The system's monotonic clock and timers; waits longer than the system's longest are made of several. */
export function createTimers(set: SetTimer = setTimeout): Timers {
  return {
    now: () => performance.now(),
    after: (ms, action) => {
      let left = Math.max(0, ms);
      const next = (): ReturnType<typeof setTimeout> => {
        const part = Math.min(left, timeoutMax);
        left -= part;
        return set(() => {
          if (left > 0) timer = next();
          else action();
        }, part);
      };
      let timer = next();
      return { [Symbol.dispose]: () => clearTimeout(timer) };
    },
  };
}

/** Waits, or until the signal fires. Never rejects. */
export function pause(timers: Timers, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = timers.after(ms, done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

/** Waits for work, but no longer than that. Never rejects. Effects: leaves no timer behind. */
export async function settledWithin(timers: Timers, work: Promise<unknown>, ms: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  using _timer = timers.after(ms, late.resolve);
  await Promise.race([
    work.then(
      () => {},
      () => {},
    ),
    late.promise,
  ]);
}
