import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { CallTimer } from "./call-timer.ts";

const longestMs = 2 ** 31 - 1;

describe("CallTimer", () => {
  /** What was given to setTimeout, and not cleared. */
  let waiting: { readonly run: () => void; readonly ms: number }[];
  const spies: { mockRestore(): void }[] = [];

  beforeEach(() => {
    waiting = [];
    const set = (run: () => void, ms: number): unknown => {
      const timer = { run, ms, unref: () => timer };
      waiting.push(timer);
      return timer;
    };
    const clear = (timer: unknown): void => {
      waiting = waiting.filter((one) => one !== timer);
    };
    spies.push(spyOn(globalThis, "setTimeout").mockImplementation(set as unknown as typeof setTimeout));
    spies.push(spyOn(globalThis, "clearTimeout").mockImplementation(clear as typeof clearTimeout));
  });
  afterEach(() => {
    for (const spy of spies.splice(0)) spy.mockRestore();
  });

  /** Lets the one timer's time come, and tells how long it waited. */
  const pass = (): number => {
    expect(waiting).toHaveLength(1);
    const [timer] = waiting.splice(0);
    timer!.run();
    return timer!.ms;
  };

  test.each([
    [5, [5]],
    [0, [0]],
    [-3, [0]],
    [longestMs, [longestMs]],
    [longestMs + 7, [longestMs, 7]],
    [3 * longestMs, [longestMs, longestMs, longestMs]],
  ])("of %d ms waits as long, in pieces that setTimeout takes", (timeoutMs, pieces) => {
    let ran = 0;
    new CallTimer(timeoutMs, () => ran++);
    const passed: number[] = [];
    while (ran === 0) passed.push(pass());
    expect(passed).toEqual(pieces);
    expect(waiting).toEqual([]);
  });

  test("of infinity waits for nothing", () => {
    new CallTimer(Number.POSITIVE_INFINITY, () => expect.unreachable());
    expect(waiting).toEqual([]);
  });

  test("leaves nothing behind once disposed, in whichever piece", () => {
    const timer = new CallTimer(2 * longestMs, () => expect.unreachable());
    pass();
    timer[Symbol.dispose]();
    expect(waiting).toEqual([]);
  });
});
