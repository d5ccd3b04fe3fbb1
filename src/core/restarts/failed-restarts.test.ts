import { describe, expect, test } from "bun:test";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { notFound } from "../../lib/faults.ts";
import { formatRestartRecord, restartLabels as labels } from "../../lib/restart-labels.ts";
import { restartSteps } from "./steps.ts";
import { box, planned, quiet, restarted, running, TestLife, until, waiting } from "./testing/life.ts";

const onFailure = { [labels.policy]: "on-failure" };
const unlessStopped = { [labels.policy]: "unless-stopped" };

describe("a restart that fails", () => {
  test("fails before the old task is gone where it can, says why once, and is tried again", async () => {
    await using life = new TestLife();
    await life.container(box, onFailure, { snapshotter: "overlayfs", snapshotKey: "a" });
    life.tasks.run(box);
    await life.up();
    life.mounts = () => Promise.reject(notFound("snapshot a"));
    life.tasks.exit(box, 1);
    await waiting(life, 100);
    const said = "can't be brought to what its labels say: its root: snapshot a: not found";
    await life.timers.advance(100);
    await until(() => life.lines(said) === 1, "the reason in the log");
    await until(() => life.record(box)?.reason === "its root: snapshot a: not found", "the reason in the label");
    for (const waitMs of [200, 400, 800]) {
      await waiting(life, waitMs);
      await life.timers.advance(waitMs);
    }
    expect([life.lines(said), life.count(box), life.tasks.statusOf(box)]).toEqual([1, "1", Status.STOPPED]);
    life.mounts = () => Promise.resolve([]);
    await restarted(life, 1600);
    expect(life.count(box)).toBe("1");
  });

  test.each(["create", "start"])("keeps its decision when the runtime refuses to %s", async (step) => {
    await using life = await running(onFailure);
    life.tasks.before = (call) => {
      if (call === `${step} ${box}`) throw new Error("no such program");
    };
    life.tasks.exit(box, 1);
    await waiting(life, 100);
    await life.timers.advance(100);
    await until(() => life.lines("no such program") === 1, "the reason in the log");
    await until(() => life.tasks.statusOf(box) === undefined, "nothing to be left");
    expect(life.record(box)).toMatchObject({ state: "waiting", count: 1 });
    // Another daemon finds it, too.
    await life.down();
    life.tasks.before = () => {};
    await life.up();
    await restarted(life, 100);
    expect(life.count(box)).toBe("1");
  });

  test("is decided later where the store refuses, which is said once", async () => {
    await using life = new TestLife();
    await life.container(box, onFailure);
    life.tasks.run(box);
    let refusals = 0;
    const { containers } = life;
    await life.up({
      containers: {
        supervised: (after, limit) => containers.supervised(after, limit),
        findSupervised: (name) => containers.findSupervised(name),
        relabel: (...given) => {
          if (refusals++ < 3) return Promise.reject(new Error("the disk is full"));
          return containers.relabel(...given);
        },
      },
    });
    life.tasks.exit(box, 1);
    for (let count = 1; count <= 3; count++) {
      await until(() => refusals === count && life.timers.waits.filter((ms) => ms === 10_000).length === 2, "a try");
      expect(life.tasks.statusOf(box)).toBe(Status.STOPPED);
      await life.timers.advance(10_000);
    }
    await planned(life);
    expect(life.lines("the disk is full")).toBe(1);
    expect(life.count(box)).toBe("1");
  });

  test("is not hindered by labels that make no sense, and says so once each", async () => {
    await using life = new TestLife();
    const cases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      policy: { [labels.policy]: "sometimes" },
      retries: { [labels.policy]: "on-failure:many" },
      huge: { [labels.policy]: "on-failure:99999999999999999999999" },
      count: { [labels.policy]: "on-failure:3", [labels.count]: "12monkeys" },
      large: { [labels.policy]: "on-failure:3", [labels.count]: "99999999999999999999" },
      status: { [labels.status]: "dancing" },
      long: { [labels.policy]: "x".repeat(3000) },
    };
    for (const [id, more] of Object.entries(cases)) {
      await life.container(`n/${id}`, more);
      life.tasks.run(`n/${id}`);
    }
    await life.container(box, { [labels.count]: "garbage", [labels.record]: '{"count":7}' });
    life.tasks.run(box);
    await life.up();
    for (const id of Object.keys(cases)) life.tasks.exit(`n/${id}`, 1);
    await until(() => Object.keys(cases).every((id) => life.lines(`id=${id}`) > 0), "the complaints");
    life.tasks.exit(box, 1);
    await restarted(life, 100);
    for (let scan = 0; scan < 5; scan++) {
      await life.timers.advance(10_000);
      await quiet();
    }
    for (const id of Object.keys(cases)) {
      expect([id, life.lines(`id=${id}`)]).toEqual([id, 1]);
      expect(life.tasks.statusOf(`n/${id}`)).toBe(Status.STOPPED);
    }
    expect(Math.max(...life.log.map((line) => line.length))).toBeLessThan(400);
    // A policy that needs no count counts anew.
    expect(life.count(box)).toBe("1");
  });
});

describe("a daemon that begins", () => {
  const lost: readonly (readonly [string, Readonly<Record<string, string>>, boolean])[] = [
    ["always", {}, true],
    ["unless-stopped", unlessStopped, true],
    ["on-failure: the machine's end was one", onFailure, true],
    ["always, stopped on purpose before", { [labels.explicitlyStopped]: "true" }, true],
    ["unless-stopped, stopped", { ...unlessStopped, [labels.explicitlyStopped]: "true" }, false],
    ["on-failure, ended well", { ...onFailure, [labels.record]: '{"state":"ended","exitStatus":0}' }, false],
    ["no", { [labels.policy]: "no" }, false],
  ];
  test.each(lost)("restarts what should run and has no task: %s", async (_name, more, runs) => {
    await using life = new TestLife();
    await life.container(box, more);
    await life.up();
    if (runs) await restarted(life, 100);
    else {
      await life.timers.advance(30_000);
      await quiet();
    }
    expect(life.tasks.statusOf(box)).toBe(runs ? Status.RUNNING : undefined);
    expect(life.count(box)).toBe(runs ? "1" : undefined);
    if (runs) expect(life.labels(box)[labels.explicitlyStopped] ?? "false").toBe("false");
  });

  test.each(["always", "on-failure", "unless-stopped"])(
    "finishes a restart in which the last one died, whatever its step, and counts it once: %s",
    async (policy) => {
      for (const step of restartSteps) {
        await using life = await running({ [labels.policy]: policy });
        life.dieAt = step;
        life.tasks.exit(box, 1);
        await planned(life);
        if (step !== "restart.planned") {
          await waiting(life, 100);
          await life.timers.advance(100);
        }
        const isThere = { created: Status.CREATED, started: Status.RUNNING, settled: Status.RUNNING }[step.slice(8)];
        await until(() => step === "restart.planned" || life.tasks.statusOf(box) === isThere, step);
        await quiet();
        life.forget();
        await life.up();
        if (life.record(box) !== undefined && isThere !== Status.RUNNING) await restarted(life, 100);
        await until(() => life.tasks.statusOf(box) === Status.RUNNING && life.record(box) === undefined, step);
        expect([step, life.count(box)]).toEqual([step, "1"]);
      }
    },
  );

  test("tells an end that came after a restart from the one before it", async () => {
    await using life = await running();
    life.dieAt = "restart.started";
    life.tasks.exit(box, 1);
    await waiting(life, 100);
    await life.timers.advance(100);
    await until(() => life.tasks.statusOf(box) === Status.RUNNING, "the restart");
    life.forget();
    life.tasks.exit(box, 1);
    await life.up();
    await until(() => life.count(box) === "2", "the second count");
    await restarted(life, 100);
  });

  test("bounds what it finds on the disk", async () => {
    await using life = new TestLife();
    const record = { state: "waiting", count: 4, waitMs: 1e15, reason: "r", task: undefined, exitStatus: 1 } as const;
    await life.container(box, { [labels.record]: formatRestartRecord(record), [labels.count]: "4" });
    await life.up();
    await restarted(life, 60_000);
    expect(life.count(box)).toBe("4");
  });
});
