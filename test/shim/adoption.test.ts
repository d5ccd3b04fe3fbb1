import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { canRun, eventually, HostFixture, kernel, processSpec, readFifo, runtimes } from "./support.ts";

describe.skipIf(!canRun).each([...runtimes])("a host that was killed, on %s", (runtime) => {
  let h: HostFixture;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  test("is followed by one that adopts tasks and execs with their output and exit codes", async () => {
    const id = "adopted";
    const stdout = h.fifo(id);
    const output = readFifo(stdout);
    const script = "echo before; while [ ! -e /tmp/go-$0 ]; do sleep 0.05; done; echo after; exit 5";
    const { pid } = await h.tasks.create({
      id,
      ...h.bundle(id, { args: ["sh", "-c", script, runtime] }),
      stdout,
      options: h.options(runtime),
    });
    await h.tasks.start({ id });
    await h.tasks.exec({
      id,
      execId: "e",
      spec: anyOfJson(ociTypeUrls.process, processSpec(["sh", "-c", "sleep 0.8; exit 6"])),
    });
    await h.tasks.start({ id, execId: "e" });
    const created = "created";
    await h.tasks.create({
      id: created,
      ...h.bundle(created, { args: ["sh", "-c", "exit 9"] }),
      options: h.options(runtime),
    });
    await h.killHost();
    await h.startHost();
    expect((await h.host.list({})).tasks.map((task) => task.id).sort()).toEqual([id, created].sort());
    expect(await h.tasks.state({ id })).toMatchObject({ pid, status: Status.RUNNING });
    expect(await h.tasks.wait({ id, execId: "e" })).toMatchObject({ exitStatus: 6 });
    writeFileSync(join(h.rootfs, `tmp/go-${runtime}`), "");
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 5 });
    expect(await output).toBe("before\nafter\n");
    await h.tasks.start({ id: created });
    expect(await h.tasks.wait({ id: created })).toMatchObject({ exitStatus: 9 });
    await h.tasks.delete({ id });
    await h.tasks.delete({ id: created });
    const topics = (await h.events((all) => all.filter((e) => e.topic === "/tasks/delete").length === 2)).map(
      (e) => e.topic,
    );
    expect(topics.filter((topic) => topic === "/tasks/exit").length).toBe(3);
  });

  test("is followed by one that knows an init that was let go, though nothing says so and its FIFO is still there", async () => {
    const id = "let-go";
    await h.tasks.create({ id, ...h.bundle(id, { args: ["sleep", "1000"] }), options: h.options(runtime) });
    const state = join(h.state, "tasks", h.namespace, `${id}.jsonl`);
    const created = readFileSync(state);
    await h.tasks.start({ id });
    const { pid: keeper } = JSON.parse(readFileSync(join(h.state, "keeper.json"), "utf8")) as { pid: number };
    await h.killHost();
    process.kill(keeper, "SIGKILL");
    // As a host leaves it that dies before it removes the FIFO, and takes its keeper along.
    writeFileSync(state, created);
    const fifo = join(h.state, "runtime", runtime, h.namespace, id, "exec.fifo");
    kernel.mkfifo(fifo, 0o600);
    await h.startHost();
    expect(await h.tasks.state({ id })).toMatchObject({ status: Status.RUNNING });
    expect(existsSync(fifo)).toBe(false);
    await h.tasks.kill({ id, signal: 9 });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    await h.tasks.delete({ id });
  });

  const stateOf = (pid: number): string | undefined =>
    /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];

  test("is followed by one that lets an init go on which was held still for its start", async () => {
    const id = "held-still";
    const made = { id, ...h.bundle(id, { args: ["sh", "-c", "exit 8"] }), options: h.options(runtime) };
    const { pid } = await h.tasks.create(made);
    process.kill(pid, "SIGSTOP");
    await eventually(() => stateOf(pid) === "T");
    await h.killHost();
    await h.startHost();
    await eventually(() => stateOf(pid) !== "T");
    expect(await h.tasks.state({ id })).toMatchObject({ status: Status.CREATED });
    await h.tasks.start({ id });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 8 });
    await h.tasks.delete({ id });
  });

  test("is followed by one that leaves a container's process stopped which somebody stopped", async () => {
    const id = "stopped-by-hand";
    const made = { id, ...h.bundle(id, { args: ["sleep", "1000"] }), options: h.options(runtime) };
    const { pid } = await h.tasks.create(made);
    await h.tasks.start({ id });
    // A stop that meets runc's init, which has threads, as it becomes the program is forgotten by the kernel.
    await eventually(() => readlinkSync(`/proc/${pid}/exe`).endsWith("/busybox"));
    process.kill(pid, "SIGSTOP");
    await eventually(() => stateOf(pid) === "T");
    await h.killHost();
    await h.startHost();
    expect(await h.tasks.state({ id })).toMatchObject({ status: Status.RUNNING });
    expect(stateOf(pid)).toBe("T");
    await h.tasks.kill({ id, signal: 9 });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    await h.tasks.delete({ id });
  });

  test("is followed by one that asks a runtime which it does not know whether a container waits for its start", async () => {
    const unknown = join(h.folder, `unknown-${runtime}`);
    // Its state lies where nobody looks for it, and its name is no known one.
    const script = `[ "$1" = --version ] && exec echo "unknown version 1.0"
root=$2; shift 2; mkdir -p "$root/inner"; exec ${runtime} --root "$root/inner" "$@"\n`;
    writeFileSync(unknown, `#!/bin/sh\n${script}`, { mode: 0o755 });
    const ids = [`waits-${runtime}`, `runs-${runtime}`];
    for (const id of ids) {
      const args = ["sh", "-c", "while [ ! -e /tmp/end-$0 ]; do sleep 0.01; done; exit 4", id];
      await h.tasks.create({ id, ...h.bundle(id, { args }), options: h.options(unknown) });
    }
    const [waits = "", runs = ""] = ids;
    const state = join(h.state, "tasks", h.namespace, `${runs}.jsonl`);
    const created = readFileSync(state);
    await h.tasks.start({ id: runs });
    await h.killHost();
    writeFileSync(state, created);
    await h.startHost();
    expect(await h.tasks.state({ id: waits })).toMatchObject({ status: Status.CREATED });
    expect(await h.tasks.state({ id: runs })).toMatchObject({ status: Status.RUNNING });
    await h.tasks.start({ id: waits });
    for (const id of ids) {
      writeFileSync(join(h.rootfs, `tmp/end-${id}`), "");
      expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 4 });
      await h.tasks.delete({ id });
    }
  });

  test("leaves its mounts to the next one, which takes them down", async () => {
    const id = "mounted";
    const { bundle, rootfs } = h.bundle(id, { args: ["sleep", "1000"] });
    await h.tasks.create({ id, bundle, rootfs, options: h.options(runtime) });
    await h.tasks.start({ id });
    const hasRootfs = (): boolean =>
      readFileSync(`/proc/${h.pid}/mountinfo`, "utf8").includes(` ${join(bundle, "rootfs")} `);
    expect(hasRootfs()).toBe(true);
    for (let again = 0; again < 2; again++) {
      await h.killHost();
      await h.startHost();
      expect(hasRootfs()).toBe(true);
    }
    await h.tasks.kill({ id, signal: 9 });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    expect(hasRootfs()).toBe(false);
  });

  test("leaves terminals to the next one, with what was typed and printed", async () => {
    const id = "tty";
    const [stdin, stdout] = [h.fifo("ti"), h.fifo("to")];
    const output = readFifo(stdout);
    const script = "read x; echo one:$x; read y; echo two:$y; stty size; exit 3";
    const made = { id, ...h.bundle(id, { args: ["sh", "-c", script], terminal: true }), terminal: true, stdin, stdout };
    await h.tasks.create({ ...made, options: h.options(runtime) });
    await h.tasks.start({ id });
    const writer = kernel.open(stdin, 1);
    kernel.write(writer, Buffer.from("a\n"));
    await h.killHost();
    await h.startHost();
    kernel.write(writer, Buffer.from("b\n"));
    await h.tasks.resizePty({ id, width: 77, height: 22 });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 3 });
    expect(await output).toMatch(/two:b\r\n/);
    await h.tasks.delete({ id });
    kernel.close(writer);
    const state = JSON.stringify(await h.host.list({}));
    expect(state).not.toContain('"tty"');
  });

  test("leaves a broken state file that hides no other and is removed by its id", async () => {
    const id = "whole";
    await h.tasks.create({ id, ...h.bundle(id, { args: ["sleep", "1000"] }), options: h.options(runtime) });
    await h.tasks.start({ id });
    await h.killHost();
    writeFileSync(join(h.state, "tasks", h.namespace, "torn.jsonl"), '{"schema":1,');
    await h.startHost();
    const list = await h.host.list({});
    expect(list.tasks.map((task) => task.id)).toEqual([id]);
    expect(list.broken.map((task) => task.id)).toEqual(["torn"]);
    await h.tasks.delete({ id: "torn" });
    expect((await h.host.list({})).broken).toEqual([]);
    await h.tasks.kill({ id, signal: 9 });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    await h.tasks.delete({ id });
  });
});
