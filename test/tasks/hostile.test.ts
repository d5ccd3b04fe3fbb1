import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { Host } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { messageOf } from "../../src/lib/faults.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import { missing, testNeeding, waitFor } from "../support/index.ts";
import type { Need } from "../support/requirements.ts";
import { CrashingDaemon } from "./crashing-daemon.ts";

const needs: readonly Need[] = ["root", "busybox", "lighterd", "crun"];
const forever = "while :; do sleep 1; done";

describe("tasks under bad conditions", () => {
  let daemon: CrashingDaemon;
  const isRunnable = missing(needs) === undefined;
  beforeAll(async () => {
    if (isRunnable) daemon = await CrashingDaemon.start("crun", false);
  });
  afterAll(async () => {
    if (isRunnable) await daemon[Symbol.asyncDispose]();
  }, 30_000);
  const test = (name: string, body: () => Promise<void>): void => testNeeding(needs, name, body, 40_000);

  const hostPid = async (): Promise<number> => {
    await using connection = await connectTtrpc({ path: path.join(daemon.daemon.state, "shim/host.sock") });
    return (await connection.client(Host).info({})).pid;
  };
  const bundleOf = (id: string): string =>
    path.join(daemon.daemon.state, "io.containerd.runtime.v2.task", daemon.daemon.namespace, id);
  const run = async (id: string, script = forever): Promise<number> => {
    await daemon.container(id, script);
    await daemon.create(id);
    return (await daemon.tasks.start({ containerId: id })).pid;
  };
  const end = async (id: string): Promise<number> => {
    await daemon.tasks.kill({ containerId: id, signal: 9 }).catch(() => undefined); // it may have ended
    await daemon.tasks.wait({ containerId: id });
    return (await daemon.tasks.delete({ containerId: id })).exitStatus;
  };

  test("a task that runs is not deleted, and is not hurt by the try", async () => {
    const pid = await run("c1");
    const said = await daemon.tasks.delete({ containerId: "c1" }).catch(messageOf);
    expect(said).toBe("failed to delete task: cannot delete a running process");
    expect(await daemon.tasks.get({ containerId: "c1" })).toMatchObject({ process: { pid, status: Status.RUNNING } });
    expect(await end("c1")).toBe(137);
    expect(await daemon.clean("c1")).toEqual([]);
  });

  test("of execs that clash one is there, and runs once", async () => {
    await run("c2");
    const exec = (n: number): Promise<unknown> => daemon.exec("c2", "e", `echo ${n} >> /tmp/c2; exit ${n}`);
    const results = await Promise.allSettled([exec(1), exec(2), exec(3)]);
    const refused = results.flatMap((result) => (result.status === "rejected" ? [messageOf(result.reason)] : []));
    expect(refused).toEqual(["id e: already exists", "id e: already exists"]);
    const starts = await Promise.allSettled(
      [1, 2, 3].map(() => daemon.tasks.start({ containerId: "c2", execId: "e" })),
    );
    expect(starts.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const code = (await daemon.tasks.wait({ containerId: "c2", execId: "e" })).exitStatus;
    expect(await fs.readFile(path.join(daemon.rootfs, "tmp/c2"), "utf8")).toBe(`${code}\n`);
    await end("c2");
  });

  test("calls that race for one task each answer, and leave nothing", async () => {
    for (let round = 0; round < 5; round += 1) {
      const id = `race-${round}`;
      await daemon.container(id, forever);
      const of = { containerId: id };
      const calls = [
        daemon.create(id),
        daemon.create(id),
        daemon.tasks.start(of),
        daemon.exec(id, "e", "exit 0"),
        daemon.tasks.kill({ ...of, signal: 9 }),
        daemon.tasks.delete(of),
        daemon.create(id).then(() => daemon.tasks.start(of)),
        daemon.tasks.delete(of),
        daemon.tasks.kill({ ...of, signal: 9, all: true }),
        daemon.tasks.pause(of),
        daemon.tasks.resume(of),
        daemon.tasks.delete(of),
      ];
      await Promise.allSettled(calls);
      await daemon.tasks.resume(of).catch(() => undefined); // it may not be paused, or not be there
      await daemon.tasks.kill({ ...of, signal: 9 }).catch(() => undefined); // or have ended
      await daemon.tasks.wait(of).catch(() => undefined);
      await daemon.tasks.delete(of).catch(() => undefined);
      expect(await daemon.clean(id)).toEqual([]);
      expect(messageOf(await daemon.tasks.get(of).catch((error: unknown) => error))).toBe(`task ${id} not found`);
    }
  });

  test("a client that goes away in create leaves nothing, and the name is free", async () => {
    await daemon.container("c3", forever);
    const hold = await daemon.hold("create");
    const connection = await connectGrpc({ path: daemon.daemon.address });
    const tasks = connection.client(Tasks, { namespace: daemon.daemon.namespace });
    const cut = daemon.create("c3", tasks).catch(messageOf);
    await hold.held();
    await connection[Symbol.asyncDispose]();
    expect(await cut).toContain("closed");
    const again = daemon.create("c3");
    await hold[Symbol.asyncDispose]();
    await again;
    expect(await end("c3")).toBe(137);
    expect(await daemon.clean("c3")).toEqual([]);
  });

  test("a task whose bundle somebody removed goes on, ends, and is deleted", async () => {
    const pid = await run("c4");
    for (const name of await fs.readdir(bundleOf("c4"))) {
      if (name !== "rootfs") await fs.rm(path.join(bundleOf("c4"), name));
    }
    expect(messageOf(await daemon.exec("c4", "e", "exit 3"))).toBeDefined();
    await daemon.tasks.start({ containerId: "c4", execId: "e" });
    expect((await daemon.tasks.wait({ containerId: "c4", execId: "e" })).exitStatus).toBe(3);
    await daemon.restart();
    expect(await daemon.tasks.get({ containerId: "c4" })).toMatchObject({ process: { pid, status: Status.RUNNING } });
    expect(await end("c4")).toBe(137);
    expect(await daemon.clean("c4")).toEqual([]);
  });

  test("a task whose bundle went with all that is in it is deleted", async () => {
    await run("c5", "exit 3");
    await daemon.tasks.wait({ containerId: "c5" });
    const mounts = await fs.readFile("/proc/self/mountinfo", "utf8");
    if (mounts.includes(bundleOf("c5"))) await umount(path.join(bundleOf("c5"), "rootfs"));
    await fs.rm(bundleOf("c5"), { recursive: true });
    expect((await daemon.tasks.delete({ containerId: "c5" })).exitStatus).toBe(3);
    expect(await daemon.clean("c5")).toEqual([]);
  });

  test("a runtime that vanished is named, and what it ran can be ended once it is back", async () => {
    await run("c6");
    await daemon.container("made", forever);
    await daemon.create("made");
    const away = await daemon.hideRuntime();
    await daemon.container("c7", forever);
    expect(await daemon.create("c7").catch(messageOf)).toMatch(/crun.*(no such file|not found|ENOENT)/i);
    expect(await daemon.clean("c7")).toEqual([]);
    await daemon.exec("c6", "e", "exit 0");
    expect(await daemon.tasks.start({ containerId: "c6", execId: "e" }).catch(messageOf)).toMatch(/crun/);
    await daemon.tasks.kill({ containerId: "c6", signal: 9 });
    expect((await daemon.tasks.wait({ containerId: "c6" })).exitStatus).toBe(137);
    // Of what has ended, nothing is left that needs the runtime.
    expect((await daemon.tasks.delete({ containerId: "c6" })).exitStatus).toBe(137);
    expect(await daemon.clean("c6")).toEqual([]);
    expect(await daemon.tasks.delete({ containerId: "made" }).catch(messageOf)).toMatch(/crun/);
    await daemon.restart();
    await away[Symbol.asyncDispose]();
    expect((await daemon.tasks.delete({ containerId: "made" })).exitStatus).toBe(137);
    expect(await daemon.clean("made")).toEqual([]);
    await daemon.create("c7");
    await daemon.tasks.delete({ containerId: "c7" });
  });

  test("a host that hangs keeps nobody past their time, and what was asked meanwhile is undone", async () => {
    await run("c8");
    await daemon.container("c9", forever);
    const pid = await hostPid();
    process.kill(pid, "SIGSTOP");
    try {
      const options = { timeoutMs: 1_000 };
      expect(await daemon.create("c9", daemon.tasks, 1_000).catch(codeOf)).toBe("deadlineExceeded");
      expect(await daemon.tasks.kill({ containerId: "c8", signal: 9 }, options).catch(codeOf)).toBe("deadlineExceeded");
      expect((await daemon.tasks.list({})).tasks.find(({ id }) => id === "c8")?.status).toBe(Status.UNKNOWN);
      expect((await daemon.tasks.get({ containerId: "c8" })).process?.status).toBe(Status.UNKNOWN);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await waitFor("the creation to be undone", async () => (await daemon.leftovers("c9")).length === 0);
    await daemon.create("c9");
    await daemon.tasks.delete({ containerId: "c9" });
    expect(await end("c8")).toBe(137);
  });

  test("a host that hangs is named with what to do, and who tries again and again is refused at last", async () => {
    await run("c11");
    const pid = await hostPid();
    const of = { containerId: "c11" };
    process.kill(pid, "SIGSTOP");
    try {
      await waitFor("the word of its silence", async () => {
        expect((await daemon.tasks.get(of)).process?.status).toBe(Status.UNKNOWN);
        return (await daemon.daemon.logs()).includes(`kill -9 ${pid}: another host takes over`);
      });
      const said: string[] = [];
      const resume = (): Promise<unknown> => daemon.tasks.kill({ ...of, signal: 18 }, { timeoutMs: 200 });
      const knock = (): Promise<unknown> => resume().catch((error: unknown) => said.push(messageOf(error)));
      for (let n = 0; n < 6; n += 1) await Promise.all(Array.from({ length: 50 }, knock));
      expect(said).toHaveLength(300);
      const refused = said.filter((text) => text.includes(`the shim host (pid ${pid}) has not answered for`));
      expect(refused).toHaveLength(300 - 256);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    expect((await daemon.tasks.get(of)).process?.status).toBe(Status.RUNNING);
    expect(await daemon.daemon.logs()).toContain("the shim host answers again");
    expect(await end("c11")).toBe(137);
  });

  test("a daemon starts and stops beside a host that hangs, and says which it is", async () => {
    await run("c12");
    const pid = await hostPid();
    const within = async (limitMs: number, work: () => Promise<unknown>): Promise<unknown> => {
      const start = performance.now();
      const result = await work();
      expect(performance.now() - start).toBeLessThan(limitMs);
      return result;
    };
    process.kill(pid, "SIGSTOP");
    try {
      await within(10_000, () => daemon.daemon.stop());
      await within(10_000, () => daemon.daemon.start());
      await using connection = await connectGrpc({ path: daemon.daemon.address });
      const tasks = connection.client(Tasks, { namespace: daemon.daemon.namespace });
      const said = await within(10_000, () => tasks.list({}).catch(messageOf));
      expect(said).toContain("the tasks are not known yet: process ");
      expect(said).toContain(`kill -9 ${pid}: another host takes over`);
      await within(10_000, () => daemon.daemon.stop());
      await daemon.daemon.start();
    } finally {
      process.kill(pid, "SIGCONT");
    }
    const there = (): Promise<boolean> =>
      daemon.restart().then(
        () => true,
        () => false, // the tasks are not known yet
      );
    await waitFor("the host to be asked", there);
    expect(await hostPid()).toBe(pid);
    expect(await end("c12")).toBe(137);
    expect(await daemon.clean("c12")).toEqual([]);
  });

  test("a state that names another process hurts it not, and the task can still be deleted", async () => {
    const pid = await run("c10");
    // A process is known by its number and its start, which the kernel tells in hundredths of a second: not in the same one.
    await Bun.sleep(20);
    const stranger = Bun.spawn(["sleep", "1000"], { env: {} });
    const file = path.join(daemon.daemon.state, "shim/state/tasks", daemon.daemon.namespace, "c10.jsonl");
    const states = await fs.readFile(file, "utf8");
    await fs.writeFile(file, states.replaceAll(`"pid":${pid},`, `"pid":${stranger.pid},`));
    process.kill(await hostPid(), "SIGKILL");
    await waitFor("another host", async () => (await daemon.tasks.list({})).tasks.some(({ id }) => id === "c10"));
    await daemon.tasks.kill({ containerId: "c10", signal: 9 }).catch(() => undefined); // it is said to have ended
    await daemon.tasks.wait({ containerId: "c10" });
    await daemon.tasks.delete({ containerId: "c10" });
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    stranger.kill();
    await stranger.exited;
    // A zombie has ended: its parent is whoever the machine has for orphans.
    const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") Z ");
    expect(stat).toContain(") Z ");
    expect(await daemon.clean("c10")).toEqual([]);
  });
});

const codeOf = (error: unknown): unknown => (error as { kind?: unknown }).kind;

async function umount(folder: string): Promise<void> {
  const child = Bun.spawn(["umount", folder], { stdio: ["ignore", "ignore", "ignore"] });
  await child.exited;
}
