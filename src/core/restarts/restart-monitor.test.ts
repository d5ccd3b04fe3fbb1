import { describe, expect, setSystemTime, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { restartLabels as labels } from "../../lib/restart-labels.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import { box, planned, quiet, restarted, running, TestLife, until, waiting } from "./testing/life.ts";

const onFailure = { [labels.policy]: "on-failure" };
const unlessStopped = { [labels.policy]: "unless-stopped" };

describe("the restart monitor", () => {
  test("hears of an end at once, writes down what it will do, waits, and does it", async () => {
    await using life = await running({ [labels.logUri]: "binary:///usr/bin/logger?a=b" });
    const before = life.tasks.tasks.get(box)?.pid ?? 0;
    life.tasks.exit(box, 3);
    await waiting(life, 100);
    expect(life.record(box)).toMatchObject({ reason: "it exited with 3", waitMs: 100, count: 1, exitStatus: 3 });
    expect(life.tasks.statusOf(box)).toBe(Status.STOPPED);
    await life.timers.advance(99);
    await quiet();
    expect(life.tasks.countOf(`create ${box}`)).toBe(0);
    await restarted(life, 1);
    expect(life.count(box)).toBe("1");
    const { pid = 0, creation } = life.tasks.tasks.get(box) ?? {};
    expect(pid).toBeGreaterThan(before);
    const uri = "binary:///usr/bin/logger?a=b";
    expect(creation?.io).toEqual({ stdin: "", stdout: uri, stderr: uri, terminal: false });
    expect(life.log.join("")).toMatch(/msg="container restarted" namespace=n id=a reason="it exited with 3" count=1/);
  });

  test("gives a terminal to what has one", async () => {
    await using life = new TestLife();
    const spec = anyOfJson(ociTypeUrls.spec, { process: { terminal: true } });
    await life.container(box, { [labels.logUri]: "file:///tmp/log" }, { spec });
    life.tasks.run(box);
    await life.up();
    life.tasks.exit(box, 0);
    await restarted(life, 100);
    const io = { stdin: "", stdout: "file:///tmp/log", stderr: "", terminal: true };
    expect(life.tasks.tasks.get(box)?.creation.io).toEqual(io);
  });

  test("waits longer each time, and begins anew after ten seconds of running", async () => {
    await using life = await running();
    for (const waitMs of [100, 200, 400, 800, 1600]) {
      life.tasks.exit(box, 1);
      await planned(life);
      expect(life.record(box)?.waitMs).toBe(waitMs);
      await restarted(life, waitMs);
    }
    await life.timers.advance(10_000);
    life.tasks.exit(box, 1);
    await planned(life);
    expect(life.record(box)?.waitMs).toBe(100);
    expect(life.count(box)).toBe("6");
  });

  test("leaves up to a quarter of each wait to chance", async () => {
    await using life = new TestLife();
    await life.container(box);
    life.tasks.run(box);
    await life.up({ random: () => 0.8 });
    for (const waitMs of [80, 160, 320]) {
      life.tasks.exit(box, 1);
      await planned(life);
      expect(life.record(box)?.waitMs).toBe(waitMs);
      await restarted(life, waitMs);
    }
  });

  test("restarts on failure as often as it may, and notes the end for which it does not", async () => {
    await using life = await running({ [labels.policy]: "on-failure:2" });
    for (const waitMs of [100, 200]) {
      life.tasks.exit(box, 7);
      await restarted(life, waitMs);
    }
    life.tasks.exit(box, 7);
    await until(() => life.record(box)?.state === "ended", "the end");
    life.tasks.remove(box);
    await life.down();
    await life.up();
    await life.timers.advance(60_000);
    await quiet();
    expect([life.count(box), life.tasks.statusOf(box)]).toEqual(["2", undefined]);
    // A policy that allows more is heard of, and holds for the end that was.
    await life.label(box, { [labels.policy]: "on-failure:3" });
    await restarted(life, 100);
    expect(life.count(box)).toBe("3");
  });

  test.each<[string, Readonly<Record<string, string>>]>([
    ["no", { [labels.policy]: "no" }],
    ["on-failure", onFailure],
    ["unless-stopped and stopped", { ...unlessStopped, [labels.explicitlyStopped]: "true" }],
    ["always and stopped", { [labels.explicitlyStopped]: "true" }],
  ])("leaves alone what ended well or was stopped: %s", async (_name, more) => {
    await using life = await running(more);
    life.tasks.exit(box, 0);
    await quiet();
    await life.timers.advance(30_000);
    await quiet();
    expect([life.tasks.statusOf(box), life.count(box)]).toEqual([Status.STOPPED, undefined]);
  });

  test("keeps namespaces apart, and hears of what it has never seen before", async () => {
    await using life = new TestLife();
    await life.up();
    for (const name of ["n/a", "m/a"]) {
      await life.container(name);
      life.tasks.run(name);
    }
    life.tasks.exit("m/a", 1);
    await until(() => life.record("m/a")?.state === "waiting" && life.timers.waits.includes(100), "the decision");
    await life.timers.advance(100);
    await until(() => life.tasks.statusOf("m/a") === Status.RUNNING, "the restart");
    expect([life.count("m/a"), life.count("n/a")]).toEqual(["1", undefined]);
  });

  test("does not depend on the wall clock", async () => {
    await using life = await running();
    try {
      life.tasks.exit(box, 1);
      await waiting(life, 100);
      setSystemTime(new Date(1000));
      await restarted(life, 100);
    } finally {
      setSystemTime();
    }
    expect(life.count(box)).toBe("1");
  });

  test("calls a waiting restart off when it is stopped, started or removed by somebody", async () => {
    await using life = await running(unlessStopped);
    life.tasks.exit(box, 1);
    await planned(life);
    await life.label(box, { [labels.explicitlyStopped]: "true" });
    await until(() => life.record(box) === undefined, "the decision to be taken back");
    await life.label(box, { [labels.explicitlyStopped]: "false" });
    await planned(life);
    life.tasks.remove(box);
    life.tasks.run(box);
    await until(() => life.record(box) === undefined, "the decision to be done");
    life.tasks.exit(box, 1);
    await planned(life);
    // A client that removes a container deletes its task first: it is not raced.
    life.tasks.remove(box);
    await quiet();
    await life.timers.advance(9_000);
    await quiet();
    await life.delete(box);
    await life.timers.advance(60_000);
    await quiet();
    expect(life.tasks.countOf(`create ${box}`)).toBe(0);
    expect(life.tasks.tasks.size).toBe(0);
  });

  test("waits for no client where the task's own shim took it along", async () => {
    await using life = await running(onFailure);
    const before = life.tasks.tasks.get(box)?.pid;
    life.tasks.lose(box, 137);
    await restarted(life, 100);
    expect([life.count(box), life.tasks.tasks.get(box)?.pid === before]).toEqual(["1", false]);
    // Also one that was never looked at before.
    await life.container("n/b", onFailure);
    life.tasks.run("n/b");
    life.tasks.lose("n/b", 255);
    await until(() => life.record("n/b")?.state === "waiting" && life.timers.waits.includes(100), "the decision");
    await life.timers.advance(100);
    await until(() => life.tasks.statusOf("n/b") === Status.RUNNING, "the restart");
  });

  test("goes on when the client that deleted the task does no more", async () => {
    await using life = await running();
    life.tasks.exit(box, 1);
    life.tasks.remove(box);
    await planned(life);
    await until(() => life.timers.waits.filter((ms) => ms === 10_000).length === 2, "the wait");
    await life.timers.advance(9_000);
    await quiet();
    expect(life.tasks.statusOf(box)).toBeUndefined();
    await restarted(life, 1_000);
    expect(life.count(box)).toBe("1");
  });

  test("gives who makes a container the time to start it", async () => {
    await using life = new TestLife();
    await life.up();
    await life.container(box);
    await life.label(box, { some: "label" });
    const grace = (): number => life.timers.waits.filter((ms) => ms === 10_000).length;
    await until(() => grace() === 2, "the first look");
    await life.timers.advance(9_000);
    await quiet();
    expect(life.record(box)).toBeUndefined();
    await life.timers.advance(1_000);
    await restarted(life, 100);
  });

  test("does not take what a client has created for its own to remove", async () => {
    await using life = await running();
    life.tasks.exit(box, 1);
    await planned(life);
    life.tasks.remove(box);
    await life.tasks.create(createCtx({ namespace: "n" }), { ...creationOf(life), id: "a" });
    await life.timers.advance(200);
    await quiet();
    expect(life.tasks.countOf(`delete ${box}`)).toBe(0);
  });

  test("writes the decision down again when a client has wiped it away, and counts once", async () => {
    await using life = await running(onFailure);
    const before = life.labels(box);
    life.tasks.exit(box, 1);
    await planned(life);
    let decided: unknown;
    life.tasks.before = (call) => {
      if (call === `delete ${box}`) decided = life.record(box);
    };
    // As containerd's Go client updates: all that it had read before.
    const ctx = createCtx({ namespace: "n" });
    await life.containers.update(ctx, create(ContainerSchema, { id: "a", labels: { ...before } }), ["labels"]);
    await until(() => life.record(box)?.state === "waiting", "the decision");
    await until(() => life.timers.waits.some((ms) => ms <= 400), "the wait");
    await life.timers.advance(400);
    await until(() => life.tasks.statusOf(box) === Status.RUNNING && life.record(box) === undefined, "the restart");
    expect(decided).toMatchObject({ state: "waiting", count: 1 });
    expect(life.count(box)).toBe("1");
  });

  test("leaves no task behind whose container went while the runtime made it", async () => {
    await using life = await running();
    life.tasks.before = async (call) => {
      if (call === `create ${box}`) await life.delete(box);
    };
    life.tasks.exit(box, 1);
    await waiting(life, 100);
    await life.timers.advance(100);
    await until(() => life.tasks.countOf(`abandon ${box}`) === 1, "its end");
    expect(life.tasks.tasks.size).toBe(0);
    expect(life.tasks.countOf(`start ${box}`)).toBe(0);
  });

  test("stops and clears away what shall be stopped, paused ones too", async () => {
    await using life = await running();
    const task = life.tasks.tasks.get(box);
    if (task !== undefined) task.status = Status.PAUSED;
    await life.label(box, { [labels.status]: "stopped" });
    await until(() => life.tasks.statusOf(box) === undefined, "its end");
    expect(life.tasks.calls.filter((call) => !call.startsWith("state"))).toEqual([
      `kill ${box}`,
      `resume ${box}`,
      `delete ${box}`,
    ]);
  });
});

function creationOf(life: TestLife): Parameters<TestLife["tasks"]["create"]>[1] {
  void life;
  const io = { stdin: "", stdout: "", stderr: "", terminal: false };
  return { id: "", io, rootfs: [], options: undefined, runtimePath: "", checkpoint: undefined };
}
