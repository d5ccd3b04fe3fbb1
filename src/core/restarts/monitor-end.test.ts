import { describe, expect, test } from "bun:test";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { restartLabels as labels } from "../../lib/restart-labels.ts";
import { quiet, TestLife, until } from "./testing/life.ts";

const ready = (life: TestLife, name: string): boolean =>
  life.record(name)?.state === "waiting" && life.timers.waits.includes(100);

describe("the end of the restart monitor", () => {
  test("waits for the restart that is under way, which begins nothing more, and leaves no timer", async () => {
    await using life = new TestLife();
    const held = Promise.withResolvers<void>();
    await life.container("n/a");
    life.tasks.run("n/a");
    await life.up();
    life.tasks.before = (call) => (call === "create n/a" ? held.promise : undefined);
    life.tasks.exit("n/a", 1);
    await until(() => ready(life, "n/a"), "the decision");
    await life.timers.advance(100);
    await until(() => life.tasks.countOf("create n/a") === 1, "the restart to be under way");
    let isDown = false;
    const down = life.down().then(() => (isDown = true));
    await quiet();
    expect(isDown).toBe(false);
    held.resolve();
    await down;
    expect(life.tasks.calls.slice(-2)).toEqual(["create n/a", "abandon n/a"]);
    expect(life.timers.waits).toEqual([]);
    const calls = life.tasks.calls.length;
    life.tasks.run("n/a");
    life.tasks.exit("n/a", 1);
    await quiet();
    expect(life.tasks.calls.length).toBe(calls);
    // What it had decided is done by the next one, and was counted.
    await life.up();
    await until(() => life.count("n/a") === "2", "the decision about the second end");
  });

  test("is not held up by a shim that does not answer, and does nothing when it answers after all", async () => {
    await using life = new TestLife();
    const held = Promise.withResolvers<void>();
    await life.container("n/a");
    life.tasks.run("n/a");
    await life.up();
    life.tasks.before = (call) => (call === "delete n/a" ? held.promise : undefined);
    life.tasks.exit("n/a", 1);
    await until(() => ready(life, "n/a"), "the decision");
    await life.timers.advance(100);
    await until(() => life.tasks.countOf("delete n/a") === 1, "the restart to be under way");
    const down = life.down();
    await quiet();
    await life.timers.advance(8_000);
    await down;
    held.resolve();
    await quiet();
    expect(life.tasks.calls.at(-1)).toBe("delete n/a");
    expect(life.record("n/a")).toMatchObject({ state: "waiting", count: 1 });
  });
});

describe("many containers", () => {
  test("those whose shims hang hold up no others for long, and stops no restarts", async () => {
    await using life = new TestLife();
    const names = Array.from({ length: 12 }, (_, index) => `n/hangs-${index}`);
    for (const name of names) {
      await life.container(name);
      life.tasks.run(name);
    }
    for (let index = 0; index < 40; index++) {
      await life.container(`n/stops-${index}`, { [labels.status]: "stopped" });
      life.tasks.run(`n/stops-${index}`);
    }
    await life.container("n/a");
    life.tasks.run("n/a");
    const never = new Promise<void>(() => {});
    life.tasks.before = (call) => (/^(create n\/hangs|kill)/.test(call) ? never : undefined);
    await life.up();
    await until(() => life.tasks.calls.filter((call) => call.startsWith("kill")).length === 8, "stops");
    for (const name of names) life.tasks.exit(name, 1);
    const decided = (): number => names.filter((name) => life.record(name) !== undefined).length;
    const due = (): number => life.timers.waits.filter((ms) => ms === 100).length;
    await until(() => decided() === names.length && due() === names.length, "the decisions");
    await life.timers.advance(100);
    await until(() => life.tasks.calls.filter((call) => call.startsWith("create")).length === 8, "restarts");
    life.tasks.exit("n/a", 1);
    await until(() => life.record("n/a") !== undefined && life.timers.waits.includes(100), "the decision");
    await life.timers.advance(100);
    await life.timers.advance(20_000);
    await until(() => life.tasks.statusOf("n/a") === Status.RUNNING, "the restart behind them");
    const down = life.down();
    await quiet();
    await life.timers.advance(8_000);
    await down;
  });

  test("a stop that fails is tried again, later each time", async () => {
    await using life = new TestLife();
    await life.container("n/a", { [labels.status]: "stopped" });
    life.tasks.run("n/a");
    life.tasks.before = (call) => {
      if (call === "kill n/a") throw new Error("no such process");
    };
    await life.up();
    for (const [count, waitMs] of [
      [1, 2_000],
      [2, 8_000],
      [3, 32_000],
    ] as const) {
      await until(() => life.tasks.countOf("kill n/a") === count && life.timers.waits.includes(waitMs), `${waitMs}`);
      await life.timers.advance(waitMs);
    }
    expect(life.lines("no such process")).toBe(1);
    life.tasks.before = () => {};
    await life.timers.advance(120_000);
    await until(() => life.tasks.statusOf("n/a") === undefined, "its end");
  });

  test("are looked at in small parts, and those that run are not asked about again and again", async () => {
    await using life = new TestLife();
    const count = 1000;
    for (let index = 0; index < count; index++) {
      await life.container(`n/c${index}`);
      life.tasks.run(`n/c${index}`);
    }
    let [thisTurn, most, pages] = [0, 0, 0];
    const { containers } = life;
    await life.up({
      containers: {
        supervised: (after, limit) => {
          pages += 1;
          expect(limit).toBeLessThanOrEqual(128);
          return containers.supervised(after, limit);
        },
        findSupervised: (name) => {
          thisTurn += 1;
          setImmediate(() => (thisTurn = 0));
          most = Math.max(most, thisTurn);
          return containers.findSupervised(name);
        },
        relabel: (...given) => containers.relabel(...given),
      },
    });
    const states = (): number => life.tasks.calls.filter((call) => call.startsWith("state")).length;
    await until(() => states() >= count, "all to be looked at");
    await quiet();
    const after = states();
    expect(pages).toBeGreaterThanOrEqual(2 * Math.floor(count / 128));
    // Those begun in a turn of the loop, and the second looks of those begun before.
    expect(most).toBeLessThanOrEqual(8 + 32);
    await life.timers.advance(10_000);
    await quiet();
    expect(states() - after).toBeLessThanOrEqual(32);
  });
});
