import { describe, expect, test } from "bun:test";
import { fault, messageOf } from "./faults.ts";
import { SharedWait } from "./shared-wait.ts";

const forever = new AbortController().signal;

describe("SharedWait.wait", () => {
  test("answers everybody who still waits, once and whenever they come", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const shared = new SharedWait(promise);
    const waits = [shared.wait(forever), shared.wait(forever)];
    expect(shared.count).toBe(2);
    resolve(7);
    expect(await Promise.all([...waits, shared.wait(forever)])).toEqual([7, 7, 7]);
    expect([shared.count, await shared.wait(forever)]).toEqual([0, 7]);
  });

  test("fails for everybody as the work does, and for nobody when nobody waits", async () => {
    const { promise, reject } = Promise.withResolvers<number>();
    const shared = new SharedWait(promise);
    const wait = shared.wait(forever).catch(messageOf);
    reject(fault("unavailable", "gone"));
    expect(await wait).toBe(await shared.wait(forever).catch(messageOf));
    expect(await wait).toContain("gone");
    const alone = Promise.withResolvers<number>();
    expect(new SharedWait(alone.promise).count).toBe(0);
    alone.reject(fault("unavailable", "gone"));
    await new Promise((settled) => setImmediate(settled));
  });

  test("keeps nothing of who gave up, though the work goes on", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const shared = new SharedWait(promise);
    const stays = shared.wait(forever);
    const left: WeakRef<AbortSignal>[] = [];
    for (let n = 0; n < 50; n++) {
      const caller = new AbortController();
      left.push(new WeakRef(caller.signal));
      const wait = shared.wait(caller.signal).catch(messageOf);
      caller.abort(fault("canceled", "left"));
      expect(await wait).toContain("left");
    }
    expect(shared.count).toBe(1);
    await new Promise((settled) => setImmediate(settled));
    Bun.gc(true);
    // A conservative collector may hold a last one by the stack.
    expect(left.filter((one) => one.deref() !== undefined).length).toBeLessThan(10);
    resolve(7);
    expect(await stays).toBe(7);
  });

  test("rejects at once for who has given up before", async () => {
    const shared = new SharedWait(Promise.resolve(7));
    const signal = AbortSignal.abort(fault("deadlineExceeded", "late"));
    expect(await shared.wait(signal).catch(messageOf)).toContain("late");
    expect(shared.count).toBe(0);
  });
});
