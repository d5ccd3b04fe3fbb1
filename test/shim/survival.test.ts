import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TaskExitSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { anyOfJson, anyTo, ociTypeUrls } from "../../src/wire/any.ts";
import { canRun, eventually, HostFixture, kernel, processSpec, readFifo, runtimes } from "./support.ts";

const processAny = (script: string) => anyOfJson(ociTypeUrls.process, processSpec(["sh", "-c", script]));
const isGone = (pid: number): boolean => !existsSync(`/proc/${pid}`);

describe.skipIf(!canRun).each([...runtimes])("while no host lives, on %s", (runtime) => {
  let h: HostFixture;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  const gateOf = (name: string): string => `while [ ! -e /tmp/${runtime}-${name} ]; do sleep 0.02; done`;
  const open = (name: string): void => writeFileSync(join(h.rootfs, `tmp/${runtime}-${name}`), "");
  const keeperPid = (): number => JSON.parse(readFileSync(join(h.state, "keeper.json"), "utf8")).pid;

  interface Streams {
    stdin?: string;
    stdout?: string;
    terminal?: boolean;
  }
  async function run(id: string, script: string, streams: Streams = {}): Promise<number> {
    const made = h.bundle(id, { args: ["sh", "-c", script], terminal: streams.terminal ?? false });
    await h.tasks.create({ id, ...made, ...streams, options: h.options(runtime) });
    return (await h.tasks.start({ id })).pid;
  }
  async function exec(id: string, execId: string, script: string): Promise<number> {
    await h.tasks.exec({ id, execId, spec: processAny(script) });
    return (await h.tasks.start({ id, execId })).pid;
  }
  async function exits(count: number): Promise<Map<string, number>> {
    const isExit = (topic: string): boolean => topic === "/tasks/exit";
    const events = await h.events((all) => all.filter((e) => isExit(e.topic)).length >= count);
    const found = events.flatMap(({ topic, event }) =>
      isExit(topic) && event !== undefined ? [anyTo(event, TaskExitSchema)] : [],
    );
    return new Map(found.map((exit) => [`${exit.containerId}/${exit.id}`, exit.exitStatus]));
  }

  test("ends are known afterwards: of init, of execs, by signals, and of what was never started", async () => {
    const pids = [
      await run("seven", `${gateOf("ends")}; exit 7`),
      await run("killed", "sleep 1000"),
      await run("host", "sleep 1000"),
      await exec("host", "six", `${gateOf("ends")}; exit 6`),
    ];
    const idle = "idle";
    pids.push((await h.tasks.create({ id: idle, ...h.bundle(idle), options: h.options(runtime) })).pid);
    await h.killHost();
    open("ends");
    for (const pid of [pids[1], pids[4]]) process.kill(pid as number, "SIGKILL");
    await eventually(() => [0, 1, 3, 4].every((n) => isGone(pids[n] as number)));
    await h.startHost();
    expect(await h.tasks.wait({ id: "seven" })).toMatchObject({ exitStatus: 7 });
    expect(await h.tasks.wait({ id: "killed" })).toMatchObject({ exitStatus: 137 });
    expect(await h.tasks.wait({ id: "host", execId: "six" })).toMatchObject({ exitStatus: 6 });
    expect(await h.tasks.wait({ id: idle })).toMatchObject({ exitStatus: 137 });
    expect((await h.tasks.state({ id: "host" })).status).toBe(Status.RUNNING);
    expect(await exits(4)).toEqual(
      new Map([
        ["seven/seven", 7],
        ["killed/killed", 137],
        ["host/six", 6],
        ["idle/idle", 137],
      ]),
    );
    await h.tasks.kill({ id: "host", signal: 9 });
    await h.tasks.wait({ id: "host" });
    for (const id of ["seven", "killed", "host", idle]) await h.tasks.delete({ id });
  });

  test("an exec comes into being that its host was making: it runs once, and its exit is known", async () => {
    const [slow, begun, go] = ["slow", "begun", "go"].map((name) => join(h.folder, name)) as [string, string, string];
    const wait = `case " $* " in *" exec "*) echo > ${begun}; while [ ! -e ${go} ]; do sleep 0.02; done;; esac`;
    writeFileSync(slow, `#!/bin/sh\n${wait}\nexec ${runtime} "$@"\n`, { mode: 0o755 });
    const id = "making";
    await h.tasks.create({ id, ...h.bundle(id, { args: ["sleep", "1000"] }), options: h.options(slow) });
    await h.tasks.start({ id });
    const script = `echo ran >> /tmp/${runtime}-ran; ${gateOf("made")}; exit 5`;
    const starting = exec(id, "five", script).catch(() => 0);
    await eventually(() => existsSync(begun));
    await h.killHost();
    expect(await starting).toBe(0);
    const up = h.startHost();
    await eventually(() => readFileSync(h.log, "utf8").includes("waiting for what an earlier host's runtime makes"));
    writeFileSync(go, "");
    await up;
    expect(await h.tasks.state({ id, execId: "five" })).toMatchObject({ status: Status.RUNNING });
    open("made");
    expect(await h.tasks.wait({ id, execId: "five" })).toMatchObject({ exitStatus: 5 });
    expect(readFileSync(join(h.rootfs, `tmp/${runtime}-ran`), "utf8")).toBe("ran\n");
    await h.tasks.kill({ id, signal: 9 });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
  });

  test("ends are not known when the keeper is killed as well, and that is said", async () => {
    const pid = await run("lost", `${gateOf("lost")}; exit 7`);
    const keeper = keeperPid();
    await h.killHost();
    process.kill(keeper, "SIGKILL");
    await eventually(() => isGone(keeper));
    open("lost");
    await eventually(() => isGone(pid));
    await h.startHost();
    expect(await h.tasks.wait({ id: "lost" })).toMatchObject({ exitStatus: 255 });
    expect(readFileSync(h.log, "utf8")).toContain("the exit status of a process is not known");
    await h.tasks.delete({ id: "lost" });
    expect(keeperPid()).not.toBe(keeper);
  });

  test("a keeper that is killed alone is replaced and loses nothing", async () => {
    const pid = await run("kept", `${gateOf("kept")}; exit 8`);
    const keeper = keeperPid();
    process.kill(keeper, "SIGKILL");
    await eventually(() => keeperPid() !== keeper);
    await h.killHost();
    open("kept");
    await eventually(() => isGone(pid));
    await h.startHost();
    expect(await h.tasks.wait({ id: "kept" })).toMatchObject({ exitStatus: 8 });
    await h.tasks.delete({ id: "kept" });
  });

  test("stdin stays open until CloseIO of the next host", async () => {
    const [stdin, stdout] = [h.fifo("si"), h.fifo("so")];
    const output = readFifo(stdout);
    await run("cat", "cat; exit 4", { stdin, stdout });
    const write = (text: string): void => {
      const fd = kernel.open(stdin, 1);
      kernel.write(fd, Buffer.from(text));
      kernel.close(fd);
    };
    write("one ");
    await h.killHost();
    write("two ");
    await h.startHost();
    write("three");
    expect((await h.tasks.state({ id: "cat" })).status).toBe(Status.RUNNING);
    await h.tasks.closeIO({ id: "cat", stdin: true });
    expect(await h.tasks.wait({ id: "cat" })).toMatchObject({ exitStatus: 4 });
    expect(await output).toBe("one two three");
    await h.tasks.delete({ id: "cat" });
  });

  test("stdin stays open of what was created before a host's death and started after it, over another death", async () => {
    const [stdin, stdout] = [h.fifo("ci"), h.fifo("co")];
    const output = readFifo(stdout);
    const id = "created-cat";
    await h.tasks.create({ id, ...h.bundle(id, { args: ["cat"] }), stdin, stdout, options: h.options(runtime) });
    const write = (text: string): void => {
      const fd = kernel.open(stdin, 1);
      kernel.write(fd, Buffer.from(text));
      kernel.close(fd);
    };
    await h.killHost();
    await h.startHost();
    await h.tasks.start({ id });
    write("one ");
    await h.killHost();
    write("two ");
    await h.startHost();
    write("three");
    expect((await h.tasks.state({ id })).status).toBe(Status.RUNNING);
    await h.tasks.closeIO({ id, stdin: true });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
    expect(await output).toBe("one two three");
    await h.tasks.delete({ id });
  });

  test("a terminal keeps its logger, and its client's FIFOs though they lost their names", async () => {
    const folder = join(h.folder, "loggers");
    mkdirSync(folder);
    const target = join(folder, "out");
    const logger = join(folder, "logger.sh");
    writeFileSync(logger, `#!/bin/sh\nexec 5>&-\ncat <&3 > ${target}\n`, { mode: 0o755 });
    const [stdin, stdout] = [h.fifo("ti"), h.fifo("to")];
    const output = readFifo(stdout);
    const script = `echo before; ${gateOf("terminal")}; echo after`;
    await run("logged", script, { stdout: `binary://${logger}`, terminal: true });
    await run("typed", "read x; echo got:$x", { stdin, stdout, terminal: true });
    const writer = kernel.open(stdin, 1);
    await h.killHost();
    for (const path of [stdin, stdout]) rmSync(path);
    open("terminal");
    await h.startHost();
    kernel.write(writer, Buffer.from("word\n"));
    kernel.close(writer);
    for (const id of ["logged", "typed"]) {
      expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
      await h.tasks.delete({ id });
    }
    expect(readFileSync(target, "utf8")).toBe("before\r\nafter\r\n");
    expect(await output).toContain("got:word\r\n");
  });
});
