import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import type { Event } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { parseExactJson } from "../../src/lib/exact-json.ts";
import { isErrno, openFlags } from "../../src/sys/index.ts";
import { anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { canRun, eventually, HostFixture, kernel, processSpec, readFifo, runtimes } from "./support.ts";

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => "none",
    (error: unknown) => error,
  );
/** As Go writes RLIM_INFINITY, which is no double. */
const infinity = parseExactJson("18446744073709551615");
const noLimit = { type: "RLIMIT_FSIZE", hard: infinity, soft: infinity };
const processAny = (args: readonly string[], terminal = false) =>
  anyOfJson(ociTypeUrls.process, processSpec(args, terminal));

/** Cgroups of all hierarchies, by a pattern. */
function cgroupsNamed(pattern: string): string[] {
  for (;;) {
    try {
      return [...new Bun.Glob(pattern).scanSync({ cwd: "/sys/fs/cgroup", onlyFiles: false })];
    } catch (error) {
      // Another's cgroup went while its folder was read.
      if (!isErrno(error, "ENOENT", "ENODEV")) throw error;
    }
  }
}

describe.skipIf(!canRun).each([...runtimes])("a task on %s", (runtime) => {
  let h: HostFixture;
  let count = 0;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  async function run(
    args: readonly string[],
    more: NonNullable<Parameters<HostFixture["bundle"]>[1]> & { stdin?: string; stdout?: string; stderr?: string } = {},
  ) {
    const id = `c${count++}`;
    const { stdin = "", stdout = "", stderr = "", ...options } = more;
    const terminal = options.terminal ?? false;
    await h.tasks.create({
      id,
      ...h.bundle(id, { args, ...options }),
      stdin,
      stdout,
      stderr,
      terminal,
      options: h.options(runtime),
    });
    await h.tasks.start({ id });
    return id;
  }
  /** The number of the newest event: one is made, so that reading has an end. */
  async function lastSequence(): Promise<bigint> {
    const id = `mark${count++}`;
    await h.tasks.create({ id, ...h.bundle(id), options: h.options(runtime) });
    await h.tasks.delete({ id });
    const isMark = (e: Event | undefined) =>
      e?.topic === "/tasks/delete" && Buffer.from(e.event?.value as Uint8Array).includes(id);
    return (await h.events((all) => isMark(all.at(-1)))).at(-1)?.sequence ?? 0n;
  }
  async function end(id: string) {
    await h.tasks.kill({ id, signal: 9 }).catch(() => {});
    await h.tasks.wait({ id });
    return await h.tasks.delete({ id });
  }

  test("is made by a runtime that runs from the host's memory, if that is one which copies itself otherwise", async () => {
    // The copy is made beside the first creations, and has its name before it has its bytes.
    const id = await eventually(async () => {
      const next = `c${count++}`;
      const { pid } = await h.tasks.create({ id: next, ...h.bundle(next), options: h.options(runtime) });
      if (runtime !== "crun" || readlinkSync(`/proc/${pid}/exe`) === "/memfd:crun (deleted)") return next;
      await h.tasks.delete({ id: next });
      return undefined;
    });
    const { processes } = await h.tasks.pids({ id });
    const exe = readlinkSync(`/proc/${processes[0]?.pid}/exe`);
    expect(exe === "/memfd:crun (deleted)").toBe(runtime === "crun");
    await h.tasks.start({ id });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
    await h.tasks.delete({ id });
  });

  test("that is expected moves nobody to another cgroup", async () => {
    const cgroups = (): string => readFileSync(`/proc/${h.pid}/cgroup`, "utf8");
    const before = cgroups();
    for (let again = 0; again < 3; again++) {
      await h.host.expect({});
      await end(await run(["sleep", "1000"]));
    }
    expect(cgroups()).toBe(before);
  });

  test("lives from create to delete, with its output, status, times and events in order", async () => {
    const before0 = await lastSequence();
    const id = `c${count++}`;
    const [stdout, stderr] = [h.fifo(`${id}o`), h.fifo(`${id}e`)];
    const output = Promise.all([readFifo(stdout), readFifo(stderr)]);
    const made = await h.tasks.create({
      id,
      ...h.bundle(id, { args: ["sh", "-c", "echo out; echo err >&2; exit 7"] }),
      stdout,
      stderr,
      options: h.options(runtime),
    });
    expect(await h.tasks.state({ id })).toMatchObject({
      id,
      pid: made.pid,
      status: Status.CREATED,
      stdout,
      stderr,
      exitStatus: 0,
    });
    expect(statSync(join(h.bundles, id, "rootfs")).isDirectory()).toBe(true);
    const before = Date.now();
    expect(await h.tasks.start({ id })).toMatchObject({ pid: made.pid });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 7 });
    expect(await output).toEqual(["out\n", "err\n"]);
    const state = await h.tasks.state({ id });
    expect(state).toMatchObject({ status: Status.STOPPED, exitStatus: 7, pid: made.pid });
    expect(Math.abs(Number(state.exitedAt?.seconds) * 1000 - before)).toBeLessThan(5000);
    expect(await h.tasks.delete({ id })).toMatchObject({ exitStatus: 7, pid: made.pid });
    expect(await failure(h.tasks.state({ id }))).toMatchObject({
      kind: "notFound",
      message: "container not created: not found",
    });
    const mine = (await h.events((all) => all.some((e) => e.topic === "/tasks/delete"), before0)).map((e) => e.topic);
    expect(mine).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
  });

  test.each(["1.1.0", "1.2.1", "1.3.0"])(
    "a spec of version %s runs, and stays in its bundle as it was",
    async (ociVersion) => {
      const output = h.fifo(`v${count}`);
      const text = readFifo(output);
      const id = await run(["sh", "-c", "ulimit -f"], { stdout: output, ociVersion, process: { rlimits: [noLimit] } });
      expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
      expect(await text).toBe("unlimited\n");
      const config = join(h.bundles, id, "config.json");
      expect(JSON.parse(readFileSync(config, "utf8")).ociVersion).toBe(ociVersion);
      expect(readdirSync(dirname(config)).filter((name) => /config|version/.test(name))).toEqual(["config.json"]);
      await h.tasks.delete({ id });
    },
  );

  test("a process writes a quarter of a mebibyte ahead of its reader, and all of it is read", async () => {
    const stdout = h.fifo(`ahead${count}`);
    const reader = kernel.open(stdout, openFlags.readOnly | openFlags.nonBlock);
    const id = await run(["dd", "if=/dev/zero", "bs=1k", "count=250"], { stdout });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
    let bytes = 0;
    const buffer = new Uint8Array(1 << 20);
    for (let got = -1; got !== 0; bytes += got) got = kernel.read(reader, buffer);
    kernel.close(reader);
    expect(bytes).toBe(250 * 1024);
    await h.tasks.delete({ id });
  }, 30_000);

  test("an exec's limits are those of its spec to the last digit", async () => {
    const output = h.fifo(`limits${count}`);
    const text = readFifo(output);
    const id = await run(["sleep", "60"]);
    const process = { ...processSpec(["sh", "-c", "ulimit -f"]), rlimits: [noLimit] };
    await h.tasks.exec({ id, execId: "e", stdout: output, spec: anyOfJson(ociTypeUrls.process, process) });
    await h.tasks.start({ id, execId: "e" });
    expect(await h.tasks.wait({ id, execId: "e" })).toMatchObject({ exitStatus: 0 });
    expect(await text).toBe("unlimited\n");
    await end(id);
  });

  test("an init that ends before its runtime says that it is there has its exit told, however slow the runtime", async () => {
    const script = join(h.folder, `slow-${runtime}`);
    const text = `#!/bin/sh\n${Bun.which(runtime)} "$@" || exit\ncase " $* " in *" create "*) kill -9 $(cat init.pid); sleep 3;; esac\n`;
    writeFileSync(script, text, { mode: 0o755 });
    const id = `c${count++}`;
    const { pid } = await h.tasks.create({
      id,
      ...h.bundle(id, { args: ["sleep", "60"] }),
      options: h.options(script),
    });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    expect(await h.tasks.state({ id })).toMatchObject({ status: Status.STOPPED, pid, exitStatus: 137 });
    expect(await h.tasks.delete({ id })).toMatchObject({ exitStatus: 137, pid });
    // Beside the three seconds that the runtime is slow.
  }, 15_000);

  test("a reader that leaves and comes back does not hurt the process", async () => {
    const stdout = h.fifo(`leave${count}`);
    const id = await run(["sh", "-c", "while true; do echo line; sleep 0.02; done"], { stdout });
    for (let n = 0; n < 3; n++) {
      const fd = kernel.open(stdout, 0);
      expect(kernel.read(fd, new Uint8Array(100))).toBeGreaterThan(0);
      kernel.close(fd);
      await Bun.sleep(50);
    }
    expect((await h.tasks.state({ id })).status).toBe(Status.RUNNING);
    await end(id);
  });

  test("file:// appends both streams to one file that is its owner's alone", async () => {
    const path = join(h.folder, `logs${count}`, "deep", "out.log");
    const uri = `file://${path}`;
    for (let n = 0; n < 2; n++) {
      const id = await run(["sh", "-c", `echo out${n}; echo err${n} >&2`], { stdout: uri, stderr: uri });
      await h.tasks.wait({ id });
      await h.tasks.delete({ id });
    }
    expect(readFileSync(path, "utf8")).toBe("out0\nerr0\nout1\nerr1\n");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("binary:// hands both streams to a logger with the container's id and namespace", async () => {
    const target = join(h.folder, `logger${count}.out`);
    const script = join(h.folder, `logger${count}.sh`);
    writeFileSync(
      script,
      `#!/bin/sh\n{ echo "$@ $CONTAINER_ID $CONTAINER_NAMESPACE $(env | grep -c BUN)"; exec 5>&-; cat <&3; cat <&4; } > ${target}\n`,
      { mode: 0o755 },
    );
    const id = await run(["sh", "-c", "echo out; echo err >&2"], {
      stdout: `binary://${script}?-a=1&b=two`,
      stderr: `binary://${script}`,
    });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    expect(readFileSync(target, "utf8")).toBe(`-a 1 b two ${id} ${h.namespace} 0\nout\nerr\n`);
  });

  test("a logger that outlives its pipes is ended when the process that it was for could not be made", async () => {
    const id = await run(["sleep", "1000"]);
    const logger = (name: string) => {
      const [script, pidFile] = [join(h.folder, `${id}${name}.sh`), join(h.folder, `${id}${name}.pid`)];
      writeFileSync(script, `#!/bin/sh\necho $$ > ${pidFile}\nexec 5>&-\nexec sleep 1000\n`, { mode: 0o755 });
      return { stdout: `binary://${script}`, pid: () => Number(readFileSync(pidFile, "utf8")) };
    };
    // Failures that only the runtime finds: of a program that can't be run no logger is told.
    const [ofInit, ofExec] = [logger("init"), logger("exec")];
    const bad = `${id}bad`;
    const { stdout } = ofInit;
    const made = h.tasks.create({
      id: bad,
      ...h.bundle(bad, { args: ["/proc"] }),
      stdout,
      options: h.options(runtime),
    });
    expect(await failure(made)).toMatchObject({ kind: "unknown" });
    const nowhere = anyOfJson(ociTypeUrls.process, { ...processSpec(["sleep", "1000"]), cwd: "/proc/no" });
    await h.tasks.exec({ id, execId: "e", stdout: ofExec.stdout, spec: nowhere });
    expect(await failure(h.tasks.start({ id, execId: "e" }))).toMatchObject({ kind: "unknown" });
    for (const { pid } of [ofInit, ofExec]) await eventually(() => !existsSync(`/proc/${pid()}`));
    await end(id);
  });

  test("a logger that is missing, or never ready under binary-v2, fails the creation", async () => {
    const id = `c${count++}`;
    const create = (stdout: string) =>
      failure(h.tasks.create({ id, ...h.bundle(id), stdout, options: h.options(runtime) }));
    expect(await create("binary:///nowhere/logger")).toMatchObject({
      kind: "unknown",
      message: expect.stringContaining("failed to start binary process"),
    });
    expect(await create("binary-v2:///bin/true")).toMatchObject({
      kind: "unknown",
      message: expect.stringContaining("did not call ready"),
    });
    expect(await create("gopher://x")).toMatchObject({
      kind: "unknown",
      message: expect.stringContaining("unknown STDIO scheme gopher"),
    });
    expect((await h.host.list({})).tasks).toEqual([]);
  });

  test("exec runs another process with its own streams and status, init's exit comes last", async () => {
    const id = await run(["sleep", "1000"]);
    const stdout = h.fifo(`x${count}`);
    const output = readFifo(stdout);
    await h.tasks.exec({ id, execId: "e1", stdout, spec: processAny(["sh", "-c", "echo in; exit 3"]) });
    expect(await failure(h.tasks.exec({ id, execId: "e1", spec: processAny(["true"]) }))).toMatchObject({
      kind: "alreadyExists",
      message: "id e1: already exists",
    });
    expect(await h.tasks.state({ id, execId: "e1" })).toMatchObject({ id: "e1", status: Status.CREATED, pid: 0 });
    expect(await failure(h.tasks.kill({ id, execId: "e1", signal: 9 }))).toMatchObject({ kind: "failedPrecondition" });
    const { pid } = await h.tasks.start({ id, execId: "e1" });
    expect(await h.tasks.wait({ id, execId: "e1" })).toMatchObject({ exitStatus: 3 });
    expect(await output).toBe("in\n");
    expect(await failure(h.tasks.kill({ id, execId: "e1", signal: 9 }))).toMatchObject({
      kind: "notFound",
      message: "process already finished: not found",
    });
    expect(await h.tasks.delete({ id, execId: "e1" })).toMatchObject({ pid, exitStatus: 3 });
    expect(await failure(h.tasks.state({ id, execId: "e1" }))).toMatchObject({
      kind: "notFound",
      message: "process does not exist e1: not found",
    });
    await h.tasks.exec({ id, execId: "e2", spec: processAny(["sleep", "1000"]) });
    await h.tasks.start({ id, execId: "e2" });
    expect((await h.tasks.pids({ id })).processes.length).toBe(2);
    const last = await lastSequence();
    await h.tasks.kill({ id, signal: 9 });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    const exits = (await h.events((all) => all.length === 2, last)).map((e) =>
      Buffer.from(e.event?.value as Uint8Array).toString("latin1"),
    );
    expect(exits[0]).toContain("e2");
    expect(exits[1]).not.toContain("e2");
    expect(await failure(h.tasks.exec({ id, execId: "e3", spec: processAny(["true"]) }))).toMatchObject({
      kind: "unknown",
      message: "cannot exec in a stopped state",
    });
    await h.tasks.delete({ id });
  });

  test("an exec that cannot run says why, leaves the task well, and can be removed", async () => {
    const id = await run(["sleep", "1000"]);
    await h.tasks.exec({ id, execId: "bad", spec: processAny(["/no/such/program"]) });
    const error = await failure(h.tasks.start({ id, execId: "bad" }));
    expect(error).toMatchObject({
      kind: "unknown",
      message: expect.stringMatching(/^OCI runtime exec failed: .*no such/i),
    });
    await h.tasks.wait({ id, execId: "bad" });
    await h.tasks.delete({ id, execId: "bad" });
    expect(await h.tasks.state({ id })).toMatchObject({ status: Status.RUNNING });
    await end(id);
  });

  test("a running task is not deleted, a finished one is not killed or started again", async () => {
    const id = await run(["sleep", "1000"]);
    expect(await failure(h.tasks.delete({ id }))).toMatchObject({
      kind: "unknown",
      message: "cannot delete a running process",
    });
    expect(await failure(h.tasks.start({ id }))).toMatchObject({
      kind: "unknown",
      message: "cannot start a running process",
    });
    expect(await failure(h.tasks.kill({ id, signal: 900 }))).toMatchObject({
      kind: "unknown",
      message: expect.stringContaining("invalid argument"),
    });
    // Until its program runs, it is the runtime that a signal ends.
    const { pid } = await h.tasks.state({ id });
    await eventually(() => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"));
    await h.tasks.kill({ id, signal: 15 });
    await h.tasks.kill({ id, signal: 9, all: true });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    expect(await failure(h.tasks.kill({ id, signal: 9 }))).toMatchObject({
      kind: "notFound",
      message: "process already finished: not found",
    });
    expect(await failure(h.tasks.start({ id }))).toMatchObject({
      kind: "unknown",
      message: "cannot start a stopped process",
    });
    await h.tasks.delete({ id });
    expect(await failure(h.tasks.delete({ id }))).toMatchObject({
      kind: "notFound",
      message: "container not created: not found",
    });
  });

  test("a created task that was never started is deleted, its exit told before", async () => {
    const before = await lastSequence();
    const id = `c${count++}`;
    const { pid } = await h.tasks.create({ id, ...h.bundle(id), options: h.options(runtime) });
    const wait = h.tasks.wait({ id });
    await h.tasks.delete({ id });
    expect((await wait).exitStatus).toBe(137);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    const topics = (await h.events((all) => all.at(-1)?.topic === "/tasks/delete", before)).map((e) => e.topic);
    expect(topics).toEqual(["/tasks/create", "/tasks/exit", "/tasks/delete"]);
  });

  test("a runtime that refuses says why, and nothing is left", async () => {
    const id = `c${count++}`;
    const bad = h.bundle(id, { args: ["/no/such/program"] });
    const create = (options: ReturnType<HostFixture["options"]>) => failure(h.tasks.create({ id, ...bad, options }));
    expect(await create(h.options(runtime))).toMatchObject({
      kind: "unknown",
      message: expect.stringMatching(/^OCI runtime create failed: .*no such/i),
    });
    expect(await create(h.options("no-such-runtime"))).toMatchObject({
      kind: "unknown",
      message: 'OCI runtime create failed: exec: "no-such-runtime": executable file not found in $PATH',
    });
    writeFileSync(join(bad.bundle, "config.json"), "{ broken");
    expect(await create(h.options(runtime))).toMatchObject({
      kind: "unknown",
      message: expect.stringContaining("config.json"),
    });
    expect((await h.host.list({})).tasks).toEqual([]);
    expect(Bun.spawnSync(["mountpoint", "-q", join(bad.bundle, "rootfs")]).exitCode).not.toBe(0);
    expect(existsSync(join(h.state, "tasks", h.namespace, `${id}.jsonl`))).toBe(false);
  });

  test("a creation that can't be undone in full still says why it failed", async () => {
    const id = `c${count++}`;
    const fickle = join(h.folder, `fickle-${id}`);
    // Says that it made the container, writes no number, and refuses to delete what it never made.
    writeFileSync(
      fickle,
      `#!/bin/sh\ncase "$*" in *create*) exit 0 ;; *) echo no such container >&2; exit 1 ;; esac\n`,
      {
        mode: 0o755,
      },
    );
    const made = h.bundle(id);
    expect(await failure(h.tasks.create({ id, ...made, options: h.options(fickle) }))).toMatchObject({
      kind: "unknown",
      message: expect.stringContaining("failed to retrieve OCI runtime container pid"),
    });
    expect((await h.host.list({})).tasks.filter((task) => task.id === id)).toEqual([]);
    expect(Bun.spawnSync(["mountpoint", "-q", join(made.bundle, "rootfs")]).exitCode).not.toBe(0);
  });

  test("what is mounted while the host runs is there for a container", async () => {
    const folder = join(h.folder, `late-${runtime}`);
    mkdirSync(folder);
    kernel.mount("tmpfs", folder, "tmpfs", 0, "");
    try {
      writeFileSync(join(folder, "cargo"), "aboard\n");
      const stdout = h.fifo(`late-${runtime}`);
      const output = readFifo(stdout);
      const mounts = [{ destination: "/mnt", type: "bind", source: folder, options: ["rbind"] }];
      const id = await run(["cat", "/mnt/cargo"], { mounts, stdout });
      expect(await output).toBe("aboard\n");
      await end(id);
    } finally {
      kernel.unmount(folder, 0);
    }
  });

  test("poststart hooks run", async () => {
    const mark = join(h.folder, `hook${count}`);
    const hooks = { poststart: [{ path: "/bin/sh", args: ["sh", "-c", `cat > ${mark}`] }] };
    const id = await run(["sleep", "1000"], { hooks });
    await eventually(() => existsSync(mark));
    await end(id);
  });

  test("its cgroup goes with it also where its spec names it in another way", async () => {
    const name = `${h.namespace}-${runtime}-other`;
    const id = await run(["true"], { linux: { cgroupsPath: `${name}/x` } });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    expect(cgroupsNamed(`**/${name}/x`)).toEqual([]);
    // The one above it is not the task's; runtimes leave it.
    for (const above of cgroupsNamed(`**/${name}`)) rmdirSync(join("/sys/fs/cgroup", above));
  });

  test("poststop hooks run when it is deleted", async () => {
    const mark = join(h.folder, `${runtime}-stopped`);
    const hooks = { poststop: [{ path: "/bin/sh", args: ["sh", "-c", `cat > ${mark}`] }] };
    const id = await run(["true"], { hooks });
    await h.tasks.wait({ id });
    expect(existsSync(mark)).toBe(false);
    await h.tasks.delete({ id });
    expect(readFileSync(mark, "utf8")).toContain(id);
  });

  test("without a pid namespace of its own, what init leaves behind is ended with it", async () => {
    const id = await run(["sh", "-c", "sleep 1000 & sleep 1000 & echo $! ; exit 4"], {
      namespaces: ["mount", "ipc", "uts"],
    });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 4 });
    await eventually(async () => (await h.tasks.pids({ id })).processes.length === 0);
    await h.tasks.delete({ id });
  });

  test("is paused as its own program, and never as the runtime's, however soon after its start", async () => {
    const id = `c${count++}`;
    const { pid } = await h.tasks.create({
      id,
      ...h.bundle(id, { args: ["sleep", "60"] }),
      options: h.options(runtime),
    });
    // crun's init is let go though it stands still: so it is the runtime's for as long as this wants. runc's answers first.
    if (runtime === "crun") kernel.kill(pid, 19);
    await h.tasks.start({ id });
    const paused = h.tasks.pause({ id });
    for (let n = 0; n < 5; n++) await h.tasks.state({ id });
    if (runtime === "crun") kernel.kill(pid, 18);
    await paused;
    expect(readlinkSync(`/proc/${pid}/exe`)).toEndWith("/busybox");
    expect(await h.tasks.state({ id })).toMatchObject({ status: Status.PAUSED });
    await h.tasks.resume({ id });
    await end(id);
  });

  test("pause and resume stop and go on; refused in the wrong state", async () => {
    const id = await run(["sh", "-c", "while true; do true; done"]);
    await h.tasks.pause({ id });
    expect((await h.tasks.state({ id })).status).toBe(Status.PAUSED);
    expect(await failure(h.tasks.pause({ id }))).toMatchObject({ message: "cannot pause a paused container" });
    expect(await failure(h.tasks.exec({ id, execId: "x", spec: processAny(["true"]) }))).toMatchObject({
      message: "cannot exec in a paused state",
    });
    expect(await failure(h.tasks.delete({ id }))).toMatchObject({ message: "cannot delete a paused process" });
    await h.tasks.resume({ id });
    expect((await h.tasks.state({ id })).status).toBe(Status.RUNNING);
    expect(await failure(h.tasks.resume({ id }))).toMatchObject({ message: "cannot resume a running process" });
    await h.tasks.pause({ id });
    await h.tasks.kill({ id, signal: 9 });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    expect(await failure(h.tasks.pause({ id }))).toMatchObject({ message: "cannot pause a stopped container" });
    await h.tasks.delete({ id });
  });

  test("a terminal carries input and output, takes a size, and ends", async () => {
    const [stdin, stdout] = [h.fifo(`ti${count}`), h.fifo(`to${count}`)];
    const output = readFifo(stdout);
    const id = await run(["sh", "-c", "read x; stty size; tty; echo got:$x; exit 4"], {
      terminal: true,
      stdin,
      stdout,
    });
    await h.tasks.resizePty({ id, width: 91, height: 17 });
    const writer = kernel.open(stdin, 1);
    kernel.write(writer, Buffer.from("hi\n"));
    kernel.close(writer);
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 4 });
    expect(await output).toContain("17 91\r\n/dev/pts/0\r\ngot:hi\r\n");
    await h.tasks.delete({ id });
  });

  test("figures are read and limits are changed", async () => {
    const id = await run(["sleep", "1000"]);
    expect((await h.tasks.stats({ id })).stats?.typeUrl).toMatch(/^io\.containerd\.cgroups\.v[12]\.Metrics$/);
    await h.tasks.update({ id, resources: anyOfJson(ociTypeUrls.linuxResources, { pids: { limit: 77 } }) });
    await end(id);
  });

  test("the OOM killer's stroke is told before the exit", async () => {
    const before = await lastSequence();
    const linux = { resources: { memory: { limit: 32 << 20 } } };
    const id = await run(["sh", "-c", "tail /dev/zero"], { linux });
    expect((await h.tasks.wait({ id })).exitStatus).not.toBe(0);
    await h.tasks.delete({ id });
    const topics = (await h.events((all) => all.at(-1)?.topic === "/tasks/delete", before)).map((e) => e.topic);
    expect(topics).toEqual(["/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit", "/tasks/delete"]);
  });

  test("bad requests are refused with their kind", async () => {
    const create = (id: string, bundle: string) => failure(h.tasks.create({ id, bundle, options: h.options(runtime) }));
    expect(await create("../x", "/tmp")).toMatchObject({ kind: "invalidArgument" });
    expect(await create("ok", "relative")).toMatchObject({ kind: "invalidArgument" });
    expect(await failure(h.tasks.state({ id: "none" }, { namespace: "" }))).toMatchObject({
      kind: "failedPrecondition",
    });
    const id = await run(["sleep", "1000"]);
    expect(await failure(h.tasks.create({ id, ...h.bundle(id), options: h.options(runtime) }))).toMatchObject({
      kind: "alreadyExists",
    });
    expect(await failure(h.tasks.exec({ id, execId: "../../x", spec: processAny(["true"]) }))).toMatchObject({
      kind: "invalidArgument",
    });
    expect(await failure(h.tasks.exec({ id, execId: "x", spec: anyOfJson(ociTypeUrls.process, 3) }))).toMatchObject({
      kind: "invalidArgument",
    });
    await end(id);
  });
});
