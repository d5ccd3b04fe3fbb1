import { describe, expect, test } from "bun:test";
import { FaultError } from "../../lib/faults.ts";
import { failureOf } from "../content/testing.ts";
import { CollectionScheduler, type ScheduleConfig, type Timers } from "./scheduler.ts";

/** Time that passes when a test says so. */
function fakeTimers(): Timers & { pass(ms: number): Promise<void>; readonly waiting: number } {
  let now = 0;
  const timers = new Set<{ readonly at: number; readonly action: () => void }>();
  return {
    now: () => now,
    after: (ms, action) => {
      const timer = { at: now + ms, action };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    get waiting() {
      return timers.size;
    },
    pass: async (ms) => {
      const until = now + ms;
      for (;;) {
        const [next] = [...timers].filter((timer) => timer.at <= until).toSorted((one, other) => one.at - other.at);
        if (next === undefined) break;
        timers.delete(next);
        now = next.at;
        next.action();
        await Bun.sleep(0);
      }
      now = until;
    },
  };
}

const defaults: ScheduleConfig = {
  pauseThreshold: 0.02,
  deletionThreshold: 0,
  mutationThreshold: 100,
  scheduleDelayMs: 0,
  startupDelayMs: 100,
};

function schedulerWith(config: Partial<ScheduleConfig>, busyMs = 10) {
  const timers = fakeTimers();
  const runs: number[] = [];
  const state = { failure: undefined as Error | undefined, failures: 0 };
  const scheduler = new CollectionScheduler<number>({
    config: { ...defaults, ...config },
    timers,
    collect: async () => {
      runs.push(timers.now());
      if (state.failure !== undefined) throw state.failure;
      return { busyMs, result: runs.length };
    },
    failed: () => {
      state.failures++;
    },
  });
  return { timers, runs, scheduler, state };
}

describe("CollectionScheduler", () => {
  test("collects after start-up, then only for a reason, and wakes nobody meanwhile", async () => {
    const { timers, runs, scheduler } = schedulerWith({});
    await timers.pass(99);
    expect(runs).toEqual([]);
    await timers.pass(10_000);
    expect([runs, timers.waiting]).toEqual([[100], 0]);
    scheduler.note(true);
    await timers.pass(0);
    expect(runs).toEqual([100, 10_099]);
    await scheduler[Symbol.asyncDispose]();
  });

  test("takes no more than its part of time", async () => {
    const { timers, runs, scheduler } = schedulerWith({ startupDelayMs: 0 });
    for (let index = 0; index < 100; index++) {
      scheduler.note(true);
      await timers.pass(10);
    }
    // 10 ms in every 500.
    expect(runs).toEqual([0, 490, 980]);
    await scheduler[Symbol.asyncDispose]();
  });

  test("goes by other settings from the moment it is told them, with what was noted before", async () => {
    const { timers, runs, scheduler } = schedulerWith({ deletionThreshold: 5, startupDelayMs: 0, scheduleDelayMs: 50 });
    for (let index = 0; index < 3; index++) scheduler.note(true);
    await timers.pass(1000);
    expect(runs).toEqual([]);
    scheduler.reconfigure({ ...defaults, deletionThreshold: 3, scheduleDelayMs: 10, pauseThreshold: 0.5 });
    await timers.pass(1000);
    expect(runs).toEqual([1010]);
    for (let index = 0; index < 3; index++) scheduler.note(true);
    await timers.pass(1000);
    // A collection may take half of time now: the next one does not wait long.
    expect(runs).toEqual([1010, 2010]);
    await scheduler[Symbol.asyncDispose]();
  });

  test("counts deletions and mutations against their thresholds", async () => {
    const deletions = schedulerWith({ deletionThreshold: 3, startupDelayMs: 0, scheduleDelayMs: 5 });
    for (let index = 0; index < 2; index++) deletions.scheduler.note(true);
    await deletions.timers.pass(1000);
    expect(deletions.runs).toEqual([]);
    deletions.scheduler.note(true);
    await deletions.timers.pass(1000);
    expect(deletions.runs).toEqual([1005]);
    await deletions.scheduler[Symbol.asyncDispose]();
    const mutations = schedulerWith({ mutationThreshold: 4, startupDelayMs: 0 });
    for (let index = 0; index < 3; index++) mutations.scheduler.note(false);
    await mutations.timers.pass(1000);
    expect(mutations.runs).toEqual([]);
    mutations.scheduler.note(false);
    await mutations.timers.pass(1);
    expect(mutations.runs).toEqual([1000]);
    await mutations.scheduler[Symbol.asyncDispose]();
  });

  test("who waits gets a collection that began after the call", async () => {
    const { timers, scheduler } = schedulerWith({ startupDelayMs: 0 });
    const first = scheduler.collect();
    await timers.pass(0);
    const second = scheduler.collect();
    await timers.pass(0);
    await Bun.sleep(0);
    await timers.pass(0);
    expect([await first, await second]).toEqual([1, 2]);
    await scheduler[Symbol.asyncDispose]();
  });

  test("tells those who wait of a failure, and tries again", async () => {
    const { timers, runs, scheduler, state } = schedulerWith({ startupDelayMs: 0 });
    state.failure = new FaultError("dataLoss", "disk");
    const waiting = failureOf(() => scheduler.collect());
    await timers.pass(0);
    expect([await waiting, state.failures]).toEqual([{ kind: "dataLoss", message: "disk" }, 1]);
    state.failure = undefined;
    scheduler.note(true);
    await timers.pass(5000);
    expect(runs).toHaveLength(2);
    await scheduler[Symbol.asyncDispose]();
  });
});
