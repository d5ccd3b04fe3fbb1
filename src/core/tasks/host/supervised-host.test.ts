import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { TaskExitSchema } from "../../../gen/containerd/events/task_pb.ts";
import { Status } from "../../../gen/containerd/v1/types/task_pb.ts";
import { notImplemented, unavailable } from "../../../lib/faults.ts";
import { silentLogger } from "../../../lib/log.ts";
import { defaultTimeLimits } from "../../../plugin/index.ts";
import { anyTo } from "../../../wire/any.ts";
import { anyBytes, creation, failure, TestDaemon, until } from "../test-daemon.ts";
import { FakeHost } from "../testing.ts";
import { SupervisedHost } from "./supervised-host.ts";

describe("the shared host", () => {
  test("is not started while there is nothing to run", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.tasks.recovered;
    expect(host.launches).toBe(0);
  });

  test("has one connection, whoever looks for it and whoever needs it at the same time", async () => {
    await using host = await FakeHost.create();
    await host.launcher.launch();
    let attached = 0;
    await using shared = new SupervisedHost({
      launcher: host.launcher,
      timeouts: defaultTimeLimits,
      log: silentLogger,
      needed: () => false,
      attach: (connection) => {
        attached += 1;
        return connection.closed;
      },
    });
    const found = await Promise.all([shared.existing(), shared.connection(), shared.existing(), shared.connection()]);
    expect([new Set(found).size, attached]).toEqual([1, 1]);
  });

  test("starts when the first container is made, ahead of its task", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.exchange.publish(daemon.ctx, "/containers/create", anyBytes("containerd.events.ContainerCreate"));
    await until(() => host.up, "a host");
  });

  test("is told of each container and each snapshot that is made, one call at a time", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const prepared = (): void =>
      daemon.exchange.publish(daemon.ctx, "/snapshot/prepare", anyBytes("containerd.events.SnapshotPrepare"));
    prepared();
    await daemon.running("c1");
    expect([host.launches, host.expectations]).toEqual([1, 0]);
    const answer = Promise.withResolvers<void>();
    host.beforeAnswer = (method) => (method === "expect" ? answer.promise : Promise.resolve());
    prepared();
    await until(() => host.expectations === 1, "a call");
    for (let again = 0; again < 3; again++) prepared();
    // Calls to the host go out in turn: another one of these would have come before this one's answer.
    await (await daemon.tasks.get(daemon.ctx, "c1")).state("");
    expect(host.expectations).toBe(1);
    answer.resolve();
    await until(() => {
      daemon.exchange.publish(daemon.ctx, "/containers/create", anyBytes("containerd.events.ContainerCreate"));
      return host.expectations > 1;
    }, "another call");
  });

  test("that knows nothing of expectations serves all the same", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    host.beforeAnswer = (method) =>
      method === "expect" ? Promise.reject(notImplemented("method Expect")) : Promise.resolve();
    daemon.exchange.publish(daemon.ctx, "/containers/create", anyBytes("containerd.events.ContainerCreate"));
    await until(() => host.expectations > 0, "a call");
    await daemon.running("c2");
  });

  test("comes back at once when it dies, and its tasks are the same", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const pid = await daemon.running("c1");
    await host.die();
    await until(() => host.up, "another host");
    expect(await (await daemon.tasks.get(daemon.ctx, "c1")).state("")).toMatchObject({ pid, status: Status.RUNNING });
    expect(host.launches).toBe(2);
  });

  test("that was killed without a task is followed by one when it left its keeper", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    host.exit("default", "c1", "", 0);
    await daemon.tasks.delete(daemon.ctx, "c1");
    host.leavesKeeper = true;
    await host.die();
    await until(() => host.up, "another host");
  });

  test("of the last life that was killed and left its keeper is followed by one", async () => {
    await using host = await FakeHost.create();
    host.leavesKeeper = true;
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.tasks.recovered;
    await until(() => host.up, "a host");
  });

  test("that can't be started is an error that says why", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    host.refuseLaunch = "exit status 1: no such runtime";
    daemon.container("c1");
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1")))).toContain(
      "failed to start shim: shim host: it ended at its start with exit status 1: no such runtime: unavailable",
    );
  });

  test("may die under a wait: the wait goes on with the next one", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    const task = await daemon.tasks.get(daemon.ctx, "c1");
    const waits = [1, 2, 3].map(() => task.wait("", new AbortController().signal));
    await Bun.sleep(10);
    await host.die();
    await until(() => host.up, "another host");
    await host.die();
    await until(() => host.up, "a third host");
    host.exit("default", "c1", "", 42);
    for (const wait of waits) expect(await wait).toMatchObject({ exitStatus: 42 });
  });

  test("may die under a start: the process is started once", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    const pid = await daemon.tasks.create(daemon.ctx, creation("c1"));
    host.beforeAnswer = async (method) => {
      if (method === "start") await host.die();
    };
    expect(await (await daemon.tasks.get(daemon.ctx, "c1")).start("")).toBe(pid);
  });

  test("may die under a start that it has not done, and the next one under the same start, which it has done", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    const pid = await daemon.tasks.create(daemon.ctx, creation("c1"));
    let starts = 0;
    host.beforeAnswer = async (method) => {
      if (method !== "start") return;
      starts += 1;
      const init = host.tasks.get("default/c1")?.processes.get("");
      if (starts === 1 && init !== undefined) init.status = Status.CREATED;
      await host.die();
    };
    expect(await (await daemon.tasks.get(daemon.ctx, "c1")).start("")).toBe(pid);
    expect(starts).toBe(2);
  });

  test("that dies under a create and comes back late takes down what it made, and the name is free", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    host.beforeAnswer = async (method) => {
      if (method !== "create") return;
      host.refuseLaunch = "exit status 1";
      await host.die();
    };
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1")))).toContain("unavailable");
    expect(host.tasks.size).toBe(1);
    host.beforeAnswer = () => Promise.resolve();
    host.refuseLaunch = undefined;
    await until(() => host.tasks.size === 0, "the end of what was made", 10_000);
    expect(await daemon.tasks.list(daemon.ctx)).toEqual([]);
    await daemon.tasks.create(daemon.ctx, creation("c1"));
  }, 20_000);

  test("may die under a delete: the exit is answered all the same", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const pid = await daemon.running("c1");
    host.exit("default", "c1", "", 33);
    await daemon.event("/tasks/exit");
    host.beforeAnswer = async (method) => {
      if (method === "delete") await host.die();
    };
    expect(await daemon.tasks.delete(daemon.ctx, "c1")).toMatchObject({ pid, exitStatus: 33 });
  });

  test("that has lost a task: its end is reported as unknown", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await daemon.running("c2");
    host.tasks.delete("default/c1");
    await host.die();
    const [exit] = await daemon.event("/tasks/exit");
    expect(exit?.event === undefined ? undefined : anyTo(exit.event, TaskExitSchema)).toMatchObject({
      containerId: "c1",
      id: "c1",
      exitStatus: 255,
    });
    await daemon.event("/tasks/delete");
    await until(() => !existsSync(daemon.bundle("c1")), "the bundle's end");
    expect(await failure(daemon.tasks.get(daemon.ctx, "c1"))).toContain("task c1 not found");
    expect((await daemon.tasks.list(daemon.ctx)).map((task) => task.id)).toEqual(["c2"]);
  });

  test("that answers unavailable itself is not taken for a dead one", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    host.failCall = (method) => (method === "pids" ? unavailable("pids") : undefined);
    expect(await failure((await daemon.tasks.get(daemon.ctx, "c1")).pids())).toContain("pids: unavailable");
    expect(host.launches).toBe(1);
  });
});

describe("a daemon's next life", () => {
  test("finds its tasks, and learns of an exit that came between", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const pid = await daemon.running("c1");
    await daemon.running("c2");
    await daemon.down();
    daemon.events.length = 0;
    host.exit("default", "c1", "", 9);
    await daemon.up();
    const task = await daemon.tasks.get(daemon.ctx, "c1");
    expect(await task.wait("", new AbortController().signal)).toMatchObject({ exitStatus: 9 });
    expect(await task.state("")).toMatchObject({ pid, status: Status.STOPPED, exitStatus: 9 });
    await daemon.event("/tasks/exit");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/exit"]);
    expect(host.launches).toBe(1);
    expect(await daemon.tasks.list(daemon.ctx)).toHaveLength(2);
  });

  test("starts a host when there are tasks and none runs", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await daemon.down();
    await host.die();
    await daemon.up();
    expect(await (await daemon.tasks.get(daemon.ctx, "c1")).state("")).toMatchObject({ status: Status.RUNNING });
  });

  test("that finds no host says so, and knows its tasks as soon as one is there", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await daemon.down();
    await host.die();
    host.refuseLaunch = "exit status 1";
    await daemon.up();
    expect(await failure(daemon.tasks.get(daemon.ctx, "c1"))).toContain("not known yet");
    host.refuseLaunch = undefined;
    await until(() => host.up, "a host");
    await until(() => daemon.log.join("").includes("started the shim host"), "its connection");
    const state = async (): Promise<unknown> => (await daemon.tasks.get(daemon.ctx, "c1")).state("");
    const deadline = performance.now() + 5_000;
    while (
      performance.now() < deadline &&
      !(await state().then(
        () => true,
        () => false,
      ))
    )
      await Bun.sleep(5);
    expect(await state()).toMatchObject({ status: Status.RUNNING });
  });

  test("asks a host again that could not tell what it has, and says meanwhile why the tasks are not known", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await daemon.down();
    let refusals = 2;
    host.failCall = (method) => (method === "list" && refusals-- > 0 ? new Error("no memory") : undefined);
    await daemon.up();
    expect(await failure(daemon.tasks.get(daemon.ctx, "c1"))).toContain(
      "the tasks are not known yet: the shim host did not tell what it has: unavailable",
    );
    const state = async (): Promise<unknown> => (await daemon.tasks.get(daemon.ctx, "c1")).state("");
    let found: unknown;
    await until(() => {
      void state().then(
        (one) => (found = one),
        () => {},
      );
      return found !== undefined;
    }, "the tasks to be known");
    expect(found).toMatchObject({ status: Status.RUNNING });
    expect(host.launches).toBe(1);
  });

  test("clears away a bundle that never became a task, without a word to clients", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.down();
    await mkdir(join(daemon.bundle("half"), "rootfs"), { recursive: true });
    await mkdir(join(daemon.bundle(".gone.1.1"), "x"), { recursive: true });
    await daemon.up();
    await daemon.tasks.recovered;
    expect(existsSync(daemon.bundle("half"))).toBe(false);
    expect(daemon.events).toEqual([]);
    await until(() => !existsSync(daemon.bundle(".gone.1.1")), "the hidden folder's end");
  });

  test("shows a broken task as unknown and hides no other for it", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await daemon.running("c2");
    await daemon.down();
    host.tasks.delete("default/c2");
    const reason = "state.json: unexpected end";
    host.broken.push({ namespace: "default", id: "c2", bundle: daemon.bundle("c2"), reason });
    await host.die();
    await daemon.up();
    expect(await (await daemon.tasks.get(daemon.ctx, "c2")).state("")).toMatchObject({ status: Status.UNKNOWN });
    expect(await (await daemon.tasks.get(daemon.ctx, "c1")).state("")).toMatchObject({ status: Status.RUNNING });
    expect(daemon.log.join("")).toContain(reason);
  });
});
