import { describe, expect, test } from "bun:test";
import { KeyedMutex } from "./keyed-mutex.ts";

describe("KeyedMutex.lock", () => {
  test("serves one key in the order of the askers", async () => {
    const mutex = new KeyedMutex();
    const seen: string[] = [];
    const work = async (name: string): Promise<void> => {
      using _lock = await mutex.lock("k");
      seen.push(`${name} in`);
      await Promise.resolve();
      seen.push(`${name} out`);
    };
    await Promise.all([work("a"), work("b"), work("c")]);
    expect(seen).toEqual(["a in", "a out", "b in", "b out", "c in", "c out"]);
  });

  test("does not make different keys wait for each other", async () => {
    const mutex = new KeyedMutex();
    using _one = await mutex.lock("one");
    using _two = await mutex.lock("two");
    expect(mutex.size).toBe(2);
  });

  test("counts who waits for a key", async () => {
    const mutex = new KeyedMutex();
    expect(mutex.waiting("k")).toBe(0);
    const first = await mutex.lock("k");
    expect(mutex.waiting("k")).toBe(0);
    const second = mutex.lock("k");
    expect(mutex.waiting("k")).toBe(1);
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    expect(mutex.waiting("k")).toBe(0);
  });

  test("forgets a key when nobody wants it", async () => {
    const mutex = new KeyedMutex();
    (await mutex.lock("k"))[Symbol.dispose]();
    expect(mutex.size).toBe(0);
  });
});
