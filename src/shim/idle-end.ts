/** How often a host without work looks whether it has some, and after how many such looks it ends. */
const [lookMs, looksMax] = [1_000, 5];

/** Ends a host that has had nothing to do for a while: no task, no sandbox, no caller, no event to bring. */
export function endWhenIdle(isIdle: () => boolean, end: () => void): Disposable {
  let looks = 0;
  const timer = setInterval(() => {
    looks = isIdle() ? looks + 1 : 0;
    if (looks >= looksMax) end();
  }, lookMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
