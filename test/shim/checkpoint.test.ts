import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { TaskCheckpointedSchema, TaskDeleteSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { type CheckpointOptions, CheckpointOptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import type { Event } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { failpointVariable } from "../../src/lib/failpoints.ts";
import { checkpointSteps } from "../../src/shim/parts.ts";
import { openFlags } from "../../src/sys/index.ts";
import { anyOf, anyOfJson, anyTo, ociTypeUrls } from "../../src/wire/any.ts";
import { criuFolder, missing } from "../support/index.ts";
import { canRun, eventually, HostFixture, kernel, processSpec, runtimes } from "./support.ts";

const criuTrouble = missing(["criu"]);
/** Counts in its memory alone: CRIU restores no file that went on changing after the checkpoint. */
const counter = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
/** Reads a line, says what it counted by then, and ends with a status of its own. */
const asker = "i=0; echo ready; while read line; do i=$((i+1)); echo $i $line; [ $line = end ] && exit 42; done";

describe.skipIf(!canRun || criuTrouble !== undefined).each([...runtimes])("a checkpoint on %s", (runtime) => {
  let folder = "";
  let armed = "";
  let h: HostFixture;
  let count = 0;
  beforeAll(async () => {
    folder = mkdtempSync("/tmp/lighter-failpoint-");
    armed = join(folder, "step");
    h = await HostFixture.start({
      PATH: `${criuFolder}:${process.env["PATH"] ?? ""}`,
      [failpointVariable]: armed,
    });
  });
  afterAll(async () => {
    await h[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** Puts a program of the machine, and what it is linked with, into the shared root. */
  function addProgram(name: string): void {
    const path = Bun.which(name, { PATH: "/usr/bin:/bin" }) ?? name;
    const linked = Bun.spawnSync(["ldd", path]).stdout.toString().match(/\/\S+/g) ?? [];
    for (const file of [path, ...linked]) {
      mkdirSync(dirname(join(h.rootfs, file)), { recursive: true });
      copyFileSync(file, join(h.rootfs, file));
    }
  }

  /** What a FIFO's reader has got so far, and at last. */
  class Output {
    text = "";
    readonly done: Promise<string>;
    constructor(path: string) {
      this.done = this.#read(path);
    }
    async #read(path: string): Promise<string> {
      const fd = kernel.open(path, openFlags.readOnly | openFlags.nonBlock);
      try {
        for await (const chunk of Bun.file(fd).stream()) this.text += Buffer.from(chunk).toString();
        return this.text;
      } finally {
        kernel.close(fd);
      }
    }
    says(words: string): Promise<unknown> {
      return eventually(() => this.text.includes(words));
    }
  }

  /** A runtime that says it is one which takes no new specs, where there has been such a one. */
  function choosy(name: string): string {
    if (name !== "crun") return name;
    const path = join(h.folder, "choosy-crun");
    const text = `#!/bin/sh\n[ "$1" = --version ] && exec echo crun version 1.8.1\nexec crun "$@"\n`;
    writeFileSync(path, text, { mode: 0o755 });
    return path;
  }

  const imagesOf = (id: string): string => join(h.folder, `${id}-images`);

  interface Streams {
    readonly stdin?: string;
    readonly stdout?: string;
    readonly stderr?: string;
    readonly terminal?: boolean;
  }

  interface More {
    readonly namespaces?: readonly string[];
    readonly ociVersion?: string;
  }

  async function start(script: string, more: Streams & More = {}, checkpoint = ""): Promise<string> {
    const id = `c${count++}`;
    const { namespaces, ociVersion, ...streams } = more;
    const { terminal = false } = streams;
    const parts = { ...(namespaces ? { namespaces } : {}), ...(ociVersion ? { ociVersion } : {}) };
    const bundle = h.bundle(id, { args: ["sh", "-c", script], terminal, ...parts });
    await h.tasks.create({ id, ...bundle, ...streams, checkpoint, options: h.options(runtime) });
    await h.tasks.start({ id });
    return id;
  }

  async function checkpoint(id: string, options: Partial<CheckpointOptions> = {}): Promise<string> {
    const any = anyOf(CheckpointOptionsSchema, create(CheckpointOptionsSchema, options as never));
    await h.tasks.checkpoint({ id, path: imagesOf(id), options: any }, { timeoutMs: 60_000 });
    return imagesOf(id);
  }

  async function end(id: string): Promise<void> {
    await h.tasks.kill({ id, signal: 9 }).catch(() => {});
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
  }

  /** What a counter has counted to, by its log. */
  const counted = (log: string): number => numbersIn(log).at(-1) ?? 0;
  const numbersIn = (log: string): number[] => readFileSync(log, "utf8").split("\n").slice(0, -1).map(Number);
  const logTo = (log: string): Streams => ({ stdout: `file://${log}`, stderr: `file://${log}` });

  test("of a task with its output in a log goes on where it was, in another log", async () => {
    const [one, two] = [join(h.folder, `${runtime}1.log`), join(h.folder, `${runtime}2.log`)];
    const id = await start(counter, logTo(one));
    await eventually(() => counted(one) > 5);
    const images = await checkpoint(id, { exit: true });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    await h.tasks.delete({ id });
    const again = await start(counter, logTo(two), images);
    await eventually(() => numbersIn(two).length > 5);
    expect(numbersIn(two)[0]).toBe(counted(one) + 1);
    await end(again);
  }, 60_000);

  test("is restored by a spec of a version that came after the runtime, which stays as it was", async () => {
    const [one, two] = [join(h.folder, `${runtime}v1.log`), join(h.folder, `${runtime}v2.log`)];
    const more = { ociVersion: "1.2.1" };
    const id = await start(counter, { ...logTo(one), ...more });
    await eventually(() => counted(one) > 5);
    const images = await checkpoint(id, { exit: true });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    const again = await start(counter, { ...logTo(two), ...more }, images);
    await eventually(() => numbersIn(two).length > 5);
    expect(JSON.parse(readFileSync(join(h.bundles, again, "config.json"), "utf8"))).toMatchObject(more);
    await end(again);
  }, 60_000);

  test("of a task with FIFOs takes its input and gives its output and status after the restore", async () => {
    const [stdin, stdout] = [h.fifo("in1"), h.fifo("out1")];
    const first = new Output(stdout);
    const id = await start(asker, { stdin, stdout });
    await Bun.write(stdin, "a\n");
    await first.says("1 a");
    const images = await checkpoint(id, { exit: true });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    expect(await first.done).toBe("ready\n1 a\n");

    const [stdin2, stdout2] = [h.fifo("in2"), h.fifo("out2")];
    const second = new Output(stdout2);
    const again = await start(asker, { stdin: stdin2, stdout: stdout2 }, images);
    await Bun.write(stdin2, "b\nend\n");
    expect(await h.tasks.wait({ id: again })).toMatchObject({ exitStatus: 42 });
    await h.tasks.delete({ id: again });
    expect(await second.done).toBe("2 b\n3 end\n");
  }, 60_000);

  test("leaves a task running, with a process that was added to it and is no part of it", async () => {
    const [one, two] = [join(h.folder, `${runtime}3.log`), join(h.folder, `${runtime}4.log`)];
    const id = await start(counter, logTo(one));
    const [stdin, stdout] = [h.fifo("in3"), h.fifo("out3")];
    const output = new Output(stdout);
    const spec = anyOfJson(ociTypeUrls.process, processSpec(["sh", "-c", asker]));
    await h.tasks.exec({ id, execId: "e", stdin, stdout, spec });
    await h.tasks.start({ id, execId: "e" });
    const images = await checkpoint(id);
    await Bun.write(stdin, "end\n");
    expect(await h.tasks.wait({ id, execId: "e" })).toMatchObject({ exitStatus: 42 });
    expect(await output.done).toBe("ready\n1 end\n");
    await h.tasks.delete({ id, execId: "e" });
    const before = counted(one);
    await eventually(() => counted(one) > before);
    await end(id);
    const again = await start(counter, logTo(two), images);
    await eventually(() => counted(two) > 0);
    expect(numbersIn(two)[0]).toBeLessThanOrEqual(before + 1);
    await end(again);
  }, 60_000);

  test("of a task with a terminal comes back with a terminal", async () => {
    const [stdin, stdout] = [h.fifo("in4"), h.fifo("out4")];
    const first = new Output(stdout);
    const id = await start(asker, { stdin, stdout, terminal: true });
    await Bun.write(stdin, "a\n");
    await first.says("1 a");
    const images = await checkpoint(id, { exit: true });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    expect(await first.done).toContain("1 a\r\n");
    const [stdin2, stdout2] = [h.fifo("in5"), h.fifo("out5")];
    const second = new Output(stdout2);
    const again = await start(asker, { stdin: stdin2, stdout: stdout2, terminal: true }, images);
    await h.tasks.resizePty({ id: again, width: 90, height: 20 });
    await Bun.write(stdin2, "end\n");
    expect(await h.tasks.wait({ id: again })).toMatchObject({ exitStatus: 42 });
    await h.tasks.delete({ id: again });
    expect(await second.done).toContain("2 end\r\n");
  }, 60_000);

  test("with open connections and locks needs to be told, and says so", async () => {
    addProgram("flock");
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const script = `sleep 1000 | busybox nc -l -p ${port} > /tmp/got & sleep 0.2
      (while :; do echo x; sleep 0.05; done) | busybox nc 127.0.0.1 ${port} &
      exec /usr/bin/flock /tmp/lock sleep 1000`;
    // runc never keeps what a network of the container's own had.
    const more = { ...logTo(join(h.folder, `${runtime}5.log`)), namespaces: ["pid", "mount", "ipc", "uts"] };
    const id = await start(script, more);
    const got = async (of: string): Promise<number> => {
      const { pid } = await h.tasks.state({ id: of });
      return statSync(`/proc/${pid}/root/tmp/got`).size;
    };
    await eventually(async () => (await got(id)) > 4);
    const { ino } = statSync(join(h.rootfs, "tmp/lock"));
    await eventually(() => readFileSync("/proc/locks", "utf8").includes(`:${ino} `));
    expect(await failure(checkpoint(id, { exit: true }))).toMatch(/checkpoint failed: .*(?:lock|tcp|connected)/is);
    expect(await failure(checkpoint(id, { exit: true, fileLocks: true }))).toMatch(/tcp|connected/i);
    const all = { openTcp: true, fileLocks: true, externalUnixSockets: true, terminal: true };
    const images = await checkpoint(id, { exit: true, ...all });
    await h.tasks.wait({ id });
    const before = statSync(join(h.rootfs, "tmp/got")).size;
    await h.tasks.delete({ id });
    const again = await start(script, more, images);
    await eventually(async () => (await got(again)) > before);
    expect(readFileSync("/proc/locks", "utf8")).toContain(`:${ino} `);
    await end(again);
  }, 60_000);

  test("with an empty network namespace leaves what the network had", async () => {
    const [one, two] = [join(h.folder, `${runtime}6.log`), join(h.folder, `${runtime}7.log`)];
    const id = await start(counter, logTo(one));
    await eventually(() => counted(one) > 0);
    const images = await checkpoint(id, { exit: true, emptyNamespaces: ["network"] });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    expect(readdirSync(images).some((name) => name.startsWith("netdev-"))).toBe(false);
    const again = await start(counter, logTo(two), images);
    await eventually(() => counted(two) > counted(one));
    await end(again);
    const other = await start(counter, logTo(one));
    expect(await failure(checkpoint(other, { emptyNamespaces: ["uts"] }))).toContain("not supported");
    await end(other);
  }, 60_000);

  test("that fails leaves the task as it was, and says what CRIU says", async () => {
    const id = await start(counter, logTo(join(h.folder, `${runtime}8.log`)));
    writeFileSync(imagesOf(id), "in the way");
    expect(await failure(checkpoint(id))).toContain("OCI runtime checkpoint failed: ");
    rmSync(imagesOf(id));
    await checkpoint(id);
    writeFileSync(join(imagesOf(id), "core-1.img"), "no image");
    await end(id);
    const next = `c${count++}`;
    await h.tasks.create({ id: next, ...h.bundle(next), checkpoint: imagesOf(id), options: h.options(runtime) });
    expect(await failure(h.tasks.start({ id: next }))).toMatch(/OCI runtime restore failed: .*magic/is);
    expect(existsSync(join("/sys/fs/cgroup/memory", h.namespace, next))).toBe(false);
    const ended = h.tasks.wait({ id: next });
    await h.tasks.kill({ id: next, signal: 9 });
    expect(await ended).toMatchObject({ exitStatus: 137 });
    await h.tasks.delete({ id: next });
  }, 60_000);

  test("goes its way, and so does the task, when the host is killed in the middle", async () => {
    const one = join(h.folder, `${runtime}11.log`);
    const id = await start(counter, logTo(one));
    await eventually(() => counted(one) > 0);
    const pending = failure(checkpoint(id));
    await eventually(() => existsSync(imagesOf(id)) && readdirSync(imagesOf(id)).length > 0);
    await h.killHost();
    expect(await pending).not.toBe("none");
    await h.startHost();
    await eventually(async () => (await h.tasks.state({ id })).status === Status.RUNNING);
    const before = counted(one);
    await eventually(() => counted(one) > before);
    await end(id);
  }, 60_000);

  const steps = checkpointSteps.filter((step) => step.startsWith("checkpoint."));
  const crashes = runtime === runtimes.at(-1) ? ["in CRIU", ...steps] : ["in CRIU", "checkpoint.dumped"];
  test.each(crashes)(
    "with which the task ends is made, told of and restored when the host dies %s",
    async (crash) => {
      const [one, two] = [join(h.folder, `${crash}-1.log`), join(h.folder, `${crash}-2.log`)];
      const id = await start(counter, logTo(one));
      await eventually(() => counted(one) > 5);
      if (crash !== "in CRIU") writeFileSync(armed, crash);
      const pending = failure(checkpoint(id, { exit: true }));
      if (crash === "in CRIU") {
        await eventually(() => existsSync(join(h.bundles, id, "criu-work/dump.log")));
        await h.killHost();
      }
      expect(await pending).not.toBe("none");
      await h.killHost();
      expect(existsSync(armed)).toBe(false);
      await h.startHost();
      const images = await checkpoint(id, { exit: true });
      expect(existsSync(join(images, "lighter.json"))).toBe(true);
      expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
      expect(existsSync(join(h.bundles, id, "criu-work"))).toBe(false);
      expect(await failure(checkpoint(id, { exit: true }))).toContain("cannot checkpoint a stopped container");
      await h.tasks.delete({ id });
      const isMine = ({ topic, event }: Event): boolean =>
        event !== undefined &&
        topic === "/tasks/checkpointed" &&
        anyTo(event, TaskCheckpointedSchema).containerId === id;
      const isGone = ({ topic, event }: Event): boolean =>
        event !== undefined && topic === "/tasks/delete" && anyTo(event, TaskDeleteSchema).containerId === id;
      expect((await h.events((all) => all.some(isGone))).filter(isMine)).toHaveLength(1);
      const again = await start(counter, logTo(two), images);
      await eventually(() => numbersIn(two).length > 5);
      expect(numbersIn(two)[0]).toBe(counted(one) + 1);
      await end(again);
    },
    60_000,
  );

  test("with which the task ends is none when the next host can't write its notes, and nobody is told otherwise", async () => {
    const id = await start(counter, logTo(join(h.folder, `${runtime}14.log`)));
    writeFileSync(armed, "checkpoint.dumped");
    expect(await failure(checkpoint(id, { exit: true }))).not.toBe("none");
    await h.killHost();
    mkdirSync(join(imagesOf(id), "lighter.json.new"));
    await h.startHost();
    await h.tasks.wait({ id });
    expect(await failure(checkpoint(id, { exit: true }))).toContain("cannot checkpoint a stopped container");
    expect(readFileSync(h.log, "utf8")).toMatch(/could not finish a checkpoint.*EISDIR/);
    await h.tasks.delete({ id });
  }, 60_000);

  test("is restored after all when the host is killed in the middle of its restore", async () => {
    const [one, two] = [join(h.folder, `${runtime}12.log`), join(h.folder, `${runtime}13.log`)];
    const id = await start(counter, logTo(one));
    await eventually(() => counted(one) > 0);
    const images = await checkpoint(id, { exit: true });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    const moments = ["criu.conf", "criu-work/restore.log"].flatMap((when) =>
      [0, 10, 20, 40].map((ms) => ({ when, ms })),
    );
    for (const { when, ms } of moments) {
      const next = `c${count++}`;
      const bundle = h.bundle(next, { args: ["true"], ociVersion: "1.2.1" });
      await h.tasks.create({ id: next, ...bundle, ...logTo(two), checkpoint: images, options: h.options(runtime) });
      const pending = failure(h.tasks.start({ id: next }));
      await eventually(() => existsSync(join(bundle.bundle, when)));
      await Bun.sleep(ms);
      await h.killHost();
      // Later it may have been quicker than its host's death.
      const answer = await pending;
      if (ms === 0) expect(answer).not.toBe("none");
      await h.startHost();
      // It may have come to its end before the new host looked.
      if ((await h.tasks.state({ id: next })).status === Status.CREATED) await h.tasks.start({ id: next });
      expect(readFileSync(join(bundle.bundle, "config.json"), "utf8")).toContain('"ociVersion":"1.2.1"');
      const before = numbersIn(two).length;
      await eventually(() => numbersIn(two).length > before);
      expect((await h.tasks.pids({ id: next })).processes.length).toBeLessThanOrEqual(2);
      await end(next);
      expect(existsSync(join("/sys/fs/cgroup/memory", h.namespace, next))).toBe(false);
      expect(criuOf(bundle.bundle)).toEqual([]);
    }
  }, 60_000);

  test("is restored, and leaves its bundle as it was, when the host dies once the runtime has restored it", async () => {
    const [one, two] = [join(h.folder, `${runtime}15.log`), join(h.folder, `${runtime}16.log`)];
    const id = await start(counter, logTo(one));
    await eventually(() => counted(one) > 0);
    const images = await checkpoint(id, { exit: true });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    const next = `c${count++}`;
    const { bundle, rootfs } = h.bundle(next, { args: ["true"], ociVersion: "1.2.1" });
    const asked = readFileSync(join(bundle, "config.json"), "utf8");
    const files = { ...logTo(two), checkpoint: images, options: h.options(choosy(runtime)) };
    await h.tasks.create({ id: next, bundle, rootfs, ...files });
    writeFileSync(armed, "restore.made" satisfies (typeof checkpointSteps)[number]);
    expect(await failure(h.tasks.start({ id: next }))).not.toBe("none");
    await h.killHost();
    expect(existsSync(armed)).toBe(false);
    await h.startHost();
    expect((await h.tasks.state({ id: next })).status).toBe(Status.RUNNING);
    const before = numbersIn(two).length;
    await eventually(() => numbersIn(two).length > before);
    expect(readFileSync(join(bundle, "config.json"), "utf8")).toBe(asked);
    expect(readdirSync(bundle).filter((name) => /config|criu/.test(name))).toEqual(["config.json"]);
    await end(next);
  }, 60_000);

  test("can be made as soon as the task was started, and is one of its own program", async () => {
    const [one, two] = [join(h.folder, `${runtime}soon1.log`), join(h.folder, `${runtime}soon2.log`)];
    const id = `c${count++}`;
    const bundle = h.bundle(id, { args: ["sh", "-c", counter] });
    const { pid } = await h.tasks.create({ id, ...bundle, ...logTo(one), options: h.options(runtime) });
    // crun's init is let go though it stands still: so it is the runtime's for as long as this wants. runc's answers first.
    if (runtime === "crun") kernel.kill(pid, 19);
    await h.tasks.start({ id });
    const images = checkpoint(id, { exit: true });
    for (let n = 0; n < 5; n++) await h.tasks.state({ id });
    if (runtime === "crun") kernel.kill(pid, 18);
    await images;
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    const again = await start(counter, logTo(two), await images);
    await eventually(() => counted(two) > 0);
    expect(numbersIn(two)[0]).toBe(counted(one) + 1);
    await end(again);
  }, 60_000);

  test("can be made of a paused task", async () => {
    const [one, two] = [join(h.folder, `${runtime}9.log`), join(h.folder, `${runtime}10.log`)];
    const id = await start(counter, logTo(one));
    await eventually(() => counted(one) > 0);
    await h.tasks.pause({ id });
    const images = await checkpoint(id);
    expect((await h.tasks.state({ id })).status).toBe(Status.PAUSED);
    await h.tasks.resume({ id });
    await end(id);
    const again = await start(counter, logTo(two), images);
    await eventually(() => counted(two) > 0);
    await end(again);
  }, 60_000);
});

/** CRIU's processes of a bundle's restore. */
const criuOf = (bundle: string): string[] =>
  readdirSync("/proc").filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`).startsWith(join(bundle, "criu-work"));
    } catch {
      return false; // no process, or one that ended
    }
  });

const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: unknown) => String(error),
  );
