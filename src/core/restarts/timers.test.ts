import { describe, expect, test } from "bun:test";
import { createTimers, pause, settledWithin } from "../../lib/timers.ts";
import { nextWait } from "./growing-wait.ts";
import { createPlaces } from "./places.ts";
import { TestTimers } from "./testing/tasks.ts";

describe("createTimers", () => {
  test("never asks the system for more than it can wait, which would be nothing at all", () => {
    const asked: number[] = [];
    const fire: (() => void)[] = [];
    const timers = createTimers((action, ms) => {
      asked.push(ms);
      fire.push(action);
      return undefined as unknown as ReturnType<typeof setTimeout>;
    });
    let fired = 0;
    using _timer = timers.after(2 ** 33, () => fired++);
    while (fire.length > 0) fire.shift()?.();
    expect([fired, asked.reduce((sum, ms) => sum + ms)]).toEqual([1, 2 ** 33]);
    expect(Math.max(...asked)).toBe(2 ** 31 - 1);
  });

  test("disposes of a wait in whichever of its parts it is", async () => {
    const timers = createTimers((action, ms) => setTimeout(action, ms > 100 ? 0 : 1));
    let fired = 0;
    const timer = timers.after(2 ** 40, () => fired++);
    await Bun.sleep(5);
    timer[Symbol.dispose]();
    await Bun.sleep(5);
    expect(fired).toBe(0);
  });
});

describe("pause and settledWithin", () => {
  test("leave no timer behind, however they end", async () => {
    const timers = new TestTimers();
    const ending = new AbortController();
    const paused = pause(timers, 120_000, ending.signal);
    ending.abort();
    await paused;
    await pause(timers, 120_000, ending.signal);
    await settledWithin(timers, Promise.reject(new Error("failed")), 120_000);
    await settledWithin(timers, Promise.resolve(), 120_000);
    expect(timers.waits).toEqual([]);
  });
});

describe("createPlaces", () => {
  test("takes a place back from who does not come to an end", async () => {
    const timers = new TestTimers();
    const places = createPlaces(1, 20_000, timers);
    const { signal } = new AbortController();
    const first = await places.take(signal);
    const second = places.take(signal);
    await timers.advance(20_000);
    using _second = await second;
    // Its end, when it comes after all, makes no second place.
    first[Symbol.dispose]();
    let third = 0;
    void places.take(signal).then(() => third++);
    await Bun.sleep(1);
    expect(third).toBe(0);
  });
});

describe("nextWait", () => {
  test("doubles up to a minute", () => {
    const waits = [0];
    for (let count = 0; count < 12; count++) waits.push(nextWait(waits.at(-1) ?? 0));
    expect(waits.slice(1)).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
  });
});
