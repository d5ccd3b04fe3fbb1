import { describe, expect, test } from "bun:test";
import { BoundedQueue } from "./bounded-queue.ts";

const bounds = { maxItems: 3, maxBytes: 100 };

describe("BoundedQueue", () => {
  test("gives items in order, and what was waited for too", async () => {
    const queue = new BoundedQueue<number>(bounds);
    const first = queue.next();
    expect(queue.push(1, 1)).toBe(true);
    expect(queue.push(2, 1)).toBe(true);
    expect(await first).toEqual({ done: false, value: 1 });
    queue.close();
    expect(await Array.fromAsync(queue)).toEqual([2]);
  });

  test("refuses what goes over either bound, and takes more once there is room", async () => {
    const queue = new BoundedQueue<number>(bounds);
    expect([queue.push(1, 60), queue.push(2, 60)]).toEqual([true, false]);
    expect([queue.push(2, 20), queue.push(3, 20), queue.push(4, 0)]).toEqual([true, true, false]);
    await queue.next();
    expect([queue.length, queue.sizeBytes, queue.push(4, 60)]).toEqual([2, 40, true]);
  });

  test("failing drops what is queued and tells the reader once", async () => {
    let ended = 0;
    const queue = new BoundedQueue<number>(bounds, () => {
      ended += 1;
    });
    queue.push(1, 1);
    queue.fail(new Error("too slow"));
    const failure: unknown = await queue.next().catch((error: unknown) => error);
    expect((failure as Error).message).toBe("too slow");
    expect(await queue.next()).toEqual({ done: true, value: undefined });
    expect([ended, queue.length, queue.sizeBytes, queue.push(2, 1)]).toEqual([1, 0, 0, false]);
  });

  test("a reader that leaves ends it", async () => {
    let ended = false;
    const queue = new BoundedQueue<number>(bounds, () => {
      ended = true;
    });
    queue.push(1, 1);
    queue.push(2, 1);
    for await (const item of queue) {
      expect(item).toBe(1);
      break;
    }
    expect([ended, queue.length]).toEqual([true, 0]);
  });

  test("keeps its count over many items", async () => {
    const queue = new BoundedQueue<number>({ maxItems: 5000, maxBytes: 1e6 });
    for (let item = 0; item < 5000; item++) expect(queue.push(item, 1)).toBe(true);
    for (let item = 0; item < 4000; item++) expect((await queue.next()).value).toBe(item);
    expect([queue.length, queue.sizeBytes]).toEqual([1000, 1000]);
    queue.close();
    expect((await Array.fromAsync(queue)).at(-1)).toBe(4999);
  });
});
