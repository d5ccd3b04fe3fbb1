import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { TaskExitSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { anyTo } from "../../src/wire/any.ts";
import { expectNoLeaks, type RuntimeName, testNeeding, waitFor } from "../support/index.ts";
import { RealDaemon } from "./real-daemon.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
const waitForGate = (name: string): string => `while [ ! -e /gate/${name} ]; do sleep 0.02; done`;

describe.each(runtimes)("the death of the shim host on %s", (runtime) => {
  const test = (name: string, body: () => Promise<void>): void =>
    testNeeding(["root", "busybox", runtime], name, body, 60_000);

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

  test("that has no task left leaves nothing: its keeper ends with it, and none follows one that ended in order", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    await bench.run("c1", "exit 0");
    await bench.remove("c1");
    const keeper = (): Promise<{ pid: number }> => keeperOf(daemon.state);
    for (const isUp of [true, false]) {
      const [host, { pid }] = [await bench.hostPid(), await keeper()];
      if (!isUp) await daemon.down();
      await bench.killHost();
      if (!isUp) await daemon.up();
      await waitFor("another host", async () => (await bench.hostPid()) !== host);
      await waitFor("the keeper's end", () => !alive(pid));
      await waitFor("another keeper", async () => (await keeper()).pid !== pid);
    }
    await bench.endHost();
    await waitFor(
      "the keeper's end",
      async () => !(await fs.exists(path.join(daemon.state, "shim/state/keeper.json"))),
    );
    await daemon.down();
    await expectNoLeaks(path.basename(daemon.folder));
  });

  test("and of the daemon right after it leaves no process, or the keeper of what runs", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    await bench.run("c1", "exit 0");
    await bench.remove("c1");
    await bench.killHost();
    await daemon.down();
    await expectNoLeaks(path.basename(daemon.folder));

    await daemon.up();
    await bench.run("c2", `${waitForGate("two")}; exit 22`);
    const { pid } = await keeperOf(daemon.state);
    await bench.killHost();
    await daemon.down();
    await bench.open("two");
    expect(alive(pid)).toBe(true);
    await daemon.up();
    expect(await bench.wait("c2")).toBe(22);
    expect((await keeperOf(daemon.state)).pid).toBe(pid);
    expect(await bench.remove("c2")).toBe(22);
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
    expect(await daemon.tasks.list(daemon.ctx)).toHaveLength(1);
    expect(alive(pid)).toBe(false);
    expect(await cgroupsNamed("c2", path.basename(daemon.folder))).toEqual([]);
    expect(await fs.readdir(path.join(daemon.state, "shim/state/runtime", runtime, "default"))).toEqual(["c1"]);
    const exit = (await daemon.event("/tasks/exit")).map(({ event }) => (event ? anyTo(event, TaskExitSchema) : event));
    expect(exit).toMatchObject([{ containerId: "c2", id: "c2", pid, exitStatus: 137 }]);
    await daemon.event("/tasks/delete");
  });
});

const keeperOf = (state: string): Promise<{ pid: number }> =>
  Bun.file(path.join(state, "shim/state/keeper.json")).json();

async function cgroupsNamed(id: string, parent: string): Promise<string[]> {
  const root = "/sys/fs/cgroup";
  const places = [root, ...(await fs.readdir(root)).map((name) => path.join(root, name))];
  const found = places.map((place) => path.join(place, parent, id));
  const present = await Promise.all(found.map((folder) => fs.exists(folder)));
  return found.filter((_, n) => present[n]);
}

/** A zombie has ended: its parent is whoever the machine has for orphans. */
function alive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false; // no such process
  }
}
