import { describe, expect, test } from "bun:test";
import { Deadlines, type Slot } from "./deadlines.ts";
import { type HeapItem, SlotHeap } from "./slot-heap.ts";

/** Numbers that look random and are the same in every run. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state;
  }
}

describe("Deadlines", () => {
  /** Adds deadlines so many milliseconds from now, stands still until all are due, and tells the order in which they fired. */
  async function order(afterMs: readonly number[]): Promise<readonly number[]> {
    using deadlines = new Deadlines();
    const now = performance.now();
    const fired: number[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const ms of afterMs) {
      const expire = (): void => {
        if (fired.push(ms) === afterMs.length) resolve();
      };
      deadlines.add({ expire }, now + ms);
    }
    Bun.sleepSync(Math.max(...afterMs) + 5);
    await promise;
    return fired;
  }

  test("fire in the order of time, whatever the order in which they were added", async () => {
    expect(await order([60, 20, 40, 1, 30])).toEqual([1, 20, 30, 40, 60]);
  });

  test("fire in the order of time within a few milliseconds, too", async () => {
    expect(await order([22, 20.5, 21.25, 20.25, 21])).toEqual([20.25, 20.5, 21, 21.25, 22]);
  });

  test("an earlier one that is added after a later one does not wait for it", async () => {
    using deadlines = new Deadlines();
    const { promise, resolve } = Promise.withResolvers<void>();
    const now = performance.now();
    deadlines.add({ expire: () => undefined }, now + 3_600_000);
    deadlines.add({ expire: resolve }, now + 5);
    await promise;
  });

  test("one that ends with another does not fire", async () => {
    using deadlines = new Deadlines();
    const now = performance.now();
    const fired: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const second = { expire: () => fired.push("second") };
    let slot: Slot | undefined;
    const first = {
      expire: () => {
        fired.push("first");
        deadlines.remove(second, slot!);
      },
    };
    slot = deadlines.add(second, now + 2);
    deadlines.add(first, now + 1);
    deadlines.add({ expire: resolve }, now + 30);
    Bun.sleepSync(10);
    await promise;
    expect(fired).toEqual(["first"]);
  });
});

describe("SlotHeap", () => {
  test("gives the smallest first, whatever comes and goes", () => {
    const heap = new SlotHeap<HeapItem>();
    const there = new Set<HeapItem>();
    const random = numbers(7);
    const next = (below: number): number => random.next().value % below;
    for (let step = 0; step < 5000; step++) {
      if (next(3) > 0 || there.size === 0) {
        const item = { tick: next(500), place: -1 };
        heap.add(item);
        there.add(item);
      } else {
        const item = [...there][next(there.size)]!;
        heap.remove(item);
        there.delete(item);
      }
      expect(heap.size).toBe(there.size);
      if (step % 50 === 0) expect(heap.top?.tick ?? Infinity).toBe(Math.min(...[...there].map(({ tick }) => tick)));
    }
    const left: number[] = [];
    for (let top = heap.top; top !== undefined; top = heap.top) {
      left.push(top.tick);
      heap.remove(top);
    }
    expect(left).toEqual(left.toSorted((a, b) => a - b));
    expect(left.length).toBe(there.size);
  });
});
