/** How long a piece of the work may keep the loop. */
const turnMs = 0.8;

/** Lets others have their turn, as soon as this one took long enough. Shape: call it after each small piece of work. */
export function createTurns(): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    if (performance.now() - since < turnMs) return undefined;
    return new Promise((resolve) =>
      setImmediate(() => {
        since = performance.now();
        resolve();
      }),
    );
  };
}
