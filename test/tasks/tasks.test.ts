import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { creation, failure, noIo, until } from "../../src/core/tasks/test-daemon.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { type RuntimeName, testNeeding, waitFor } from "../support/index.ts";
import { processOf, RealDaemon } from "./real-daemon.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
const waitForGate = (name: string): string => `while [ ! -e /gate/${name} ]; do sleep 0.02; done`;

describe.each(runtimes)("tasks over the real host on %s", (runtime) => {
  const test = (name: string, body: () => Promise<void>): void =>
    testNeeding(["root", "busybox", runtime], name, body, 60_000);

  test("live from create to delete, with an exec, and tell it in order", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    const pid = await bench.run("c1", `${waitForGate("end")}; exit 12`);
    const task = await daemon.tasks.get(daemon.ctx, "c1");
    expect(await task.state("")).toMatchObject({ pid, status: Status.RUNNING });
    const out = path.join(daemon.folder, "out");
    await task.exec({ execId: "e1", io: { ...noIo, stdout: `file://${out}` }, spec: processOf("echo hi; exit 5") });
    const execPid = await task.start("e1");
    expect(await bench.wait("c1", "e1")).toBe(5);
    expect(await task.deleteProcess("e1")).toMatchObject({ pid: execPid, exitStatus: 5 });
    expect(await fs.readFile(out, "utf8")).toBe("hi\n");
    expect((await task.pids()).map((process) => process.pid)).toContain(pid);
    await task.pause();
    expect((await task.state("")).status).toBe(Status.PAUSED);
    await task.resume();
    expect(await failure(daemon.tasks.delete(daemon.ctx, "c1"))).toContain("cannot delete a running process");
    await bench.open("end");
    expect(await bench.wait("c1")).toBe(12);
    expect(await daemon.tasks.delete(daemon.ctx, "c1")).toMatchObject({ pid, exitStatus: 12 });
    await daemon.event("/tasks/delete");
    expect(daemon.events.map((event) => event.topic)).toEqual([
      "/tasks/create",
      "/tasks/start",
      "/tasks/exec-added",
      "/tasks/exec-started",
      "/tasks/exit",
      "/tasks/paused",
      "/tasks/resumed",
      "/tasks/exit",
      "/tasks/delete",
    ]);
  });

  test("fail to be created with the runtime's own words, and leave nothing", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    await bench.container("c1", "true");
    const spec = daemon.containers.get("c1")?.spec;
    if (spec !== undefined) spec.value = Buffer.from(Buffer.from(spec.value).toString().replace('"sh"', '"/no/such"'));
    const said = await failure(daemon.tasks.create(daemon.ctx, creation("c1")));
    expect(said).toStartWith("failed to create shim task: OCI runtime create failed:");
    expect(said).toContain("/no/such");
    await until(() => missingBundle(bench), "the bundle's end");
    expect(await daemon.tasks.list(daemon.ctx)).toEqual([]);
    expect(await bench.run("c1", "exit 0")).toBeGreaterThan(0);
  });

  test("and a broken config.json is a clear error", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    await bench.container("c1", "true");
    const spec = daemon.containers.get("c1")?.spec;
    if (spec !== undefined) spec.value = Buffer.from('{"ociVersion": oops');
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1")))).toContain("config.json");
  });

  test("keep what happened while the daemon was down, with its time", async () => {
    await using bench = await RealDaemon.start(runtime);
    const { daemon } = bench;
    const pid = await bench.run("c1", `${waitForGate("end")}; exit 23`);
    await bench.run("c2", "sleep 100");
    await daemon.down();
    daemon.events.length = 0;
    const before = Date.now();
    await bench.open("end");
    await waitFor("the container's end", () => !alive(pid));
    const after = Date.now();
    await daemon.up();
    expect(await bench.wait("c1")).toBe(23);
    const { status, exitedAt } = await (await daemon.tasks.get(daemon.ctx, "c1")).state("");
    expect(status).toBe(Status.STOPPED);
    const exitedAtMs = Number(exitedAt?.seconds ?? 0n) * 1000 + (exitedAt?.nanos ?? 0) / 1e6;
    expect(exitedAtMs).toBeWithin(before - 1000, after + 1000);
    await daemon.event("/tasks/exit");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/exit"]);
    expect((await (await daemon.tasks.get(daemon.ctx, "c2")).state("")).status).toBe(Status.RUNNING);
  });
});

function missingBundle(bench: RealDaemon): boolean {
  return (
    [...new Bun.Glob("default/c1").scanSync({ cwd: path.dirname(path.dirname(bench.daemon.bundle("c1"))) })].length ===
    0
  );
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // no such process
  }
}
