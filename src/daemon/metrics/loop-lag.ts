/** How often the loop is looked at: often enough for a histogram, and too seldom to cost anything. */
const periodMs = 100;

/** Tells, ten times a second, by how much the event loop was late; until it is disposed of. */
export function watchLoop(tell: (seconds: number) => void): Disposable {
  let due = performance.now() + periodMs;
  const timer = setInterval(() => {
    const now = performance.now();
    tell(Math.max(0, now - due) / 1000);
    due = now + periodMs;
  }, periodMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
