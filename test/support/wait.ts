const pollMs = 20;

/**
 * Waits until a condition answers with something other than undefined or false, and returns that.
 * Errors: after `timeoutMs` (10 s without), naming what was waited for and the last error that the condition threw.
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs: number = 10_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error; // the condition's own failures count as "not yet"
    }
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeoutMs} ms for ${what}`, last === undefined ? {} : { cause: last });
    }
    await Bun.sleep(pollMs);
  }
}
