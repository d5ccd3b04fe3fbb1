import { describe, expect, test as skipped } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { until } from "../../src/core/tasks/test-daemon.ts";
import { TaskExitSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { anyTo } from "../../src/wire/any.ts";
import { type RuntimeName, testNeeding, waitFor } from "../support/index.ts";
import { RealDaemon } from "./real-daemon.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
/** A new host does not take up the containers of a dead one yet: src/shim/recovery.ts. The daemon's side is tested on a fake host. */
const hostAdopts = false;

const waitForGate = (name: string): string => `while [ ! -e /gate/${name} ]; do sleep 0.02; done`;

describe.each(runtimes)("the death of the shim host on %s", (runtime) => {
  const test = (name: string, body: () => Promise<void>): void => {
    if (hostAdopts) testNeeding(["root", "busybox", runtime], name, body, 60_000);
    else skipped.skip(`${name} [needs a host that adopts running containers]`, body);
  };

  test("survive SIGKILL of the host: waits go on and exit codes are known", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    const pid = await bench.run("c1", `${waitForGate("one")}; exit 21`);
    await bench.run("c2", `${waitForGate("two")}; exit 22`);
    const waits = [bench.wait("c1"), bench.wait("c2")];
    const first = await bench.hostPid();
    await bench.killHost();
    await waitFor("another host", async () => (await bench.hostPid()) !== first);
    expect(await (await daemon.tasks.get(daemon.ctx, "c1")).state("")).toMatchObject({ pid, status: Status.RUNNING });
    await bench.open("one");
    expect(await waits[0]).toBe(21);
    await bench.killHost();
    await bench.open("two");
    expect(await waits[1]).toBe(22);
    expect(await bench.remove("c1")).toBe(21);
    expect(await bench.remove("c2")).toBe(22);
    const exits = (await daemon.event("/tasks/exit", 2)).map((event) =>
      event.event === undefined ? undefined : anyTo(event.event, TaskExitSchema).exitStatus,
    );
    expect(exits.toSorted((one = 0, other = 0) => one - other)).toEqual([21, 22]);
  });

  test("of which one has a broken state hide no other", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    await bench.run("c1", "sleep 100");
    const pid = await bench.run("c2", "sleep 100");
    await daemon.down();
    await bench.killHost();
    const files = new Bun.Glob("**/c2.jsonl").scanSync({ cwd: path.join(daemon.state, "shim"), absolute: true });
    for (const file of files) await fs.writeFile(file, "{oops\n");
    await daemon.up();
    expect((await (await daemon.tasks.get(daemon.ctx, "c1")).state("")).status).toBe(Status.RUNNING);
    expect((await (await daemon.tasks.get(daemon.ctx, "c2")).state("")).status).toBe(Status.UNKNOWN);
    expect(await daemon.tasks.list(daemon.ctx)).toHaveLength(2);
    await daemon.tasks.delete(daemon.ctx, "c2");
    await until(() => !alive(pid), "the broken task's process to end");
  });

  test("run many at a time while the host is killed over and over, and every exit code arrives", async () => {
    await using bench = await RealDaemon.start(runtime);
    let over = false;
    const life = async (worker: number): Promise<void> => {
      for (let round = 0; round < 6; round += 1) {
        const id = `w${worker}r${round}`;
        const code = 1 + worker * 6 + round;
        await again(
          () => bench.run(id, `sleep 0.1; exit ${code}`),
          () => bench.daemon.tasks.list(bench.daemon.ctx),
        );
        expect(await bench.wait(id)).toBe(code);
        expect(await bench.remove(id)).toBe(code);
      }
    };
    const killing = (async () => {
      while (!over) {
        await Bun.sleep(250); // the pace of the killing
        await bench.killHost().catch(() => undefined); // it is just being replaced
      }
    })();
    try {
      await Promise.all([0, 1, 2, 3].map(life));
    } finally {
      over = true;
      await killing;
    }
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // no such process
  }
}

/** A create whose host died under it fails and leaves nothing: whoever asked asks again. */
async function again(action: () => Promise<unknown>, settle: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await action();
      return;
    } catch (error) {
      if (attempt >= 20 || !String(error).includes("unavailable")) throw error;
      await settle();
    }
  }
}
