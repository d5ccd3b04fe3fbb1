import { describe, expect, test } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { TaskExitSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { Containers } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Controller, Store } from "../../src/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { anyOfJson, anyTo, ociTypeUrls } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  findProcesses,
  followEvents,
  importBusybox,
  missing,
  startLighter,
  waitFor,
} from "../support/index.ts";

const shimProgram = "containerd-shim-runc-v2";
const lacks = missing(["ours", "containerd", ...daemonNeeds()]);

/** The shims' own processes, as pids; the short-lived `start` and `delete` are not among them. */
async function shimsOf(daemon: Daemon): Promise<readonly number[]> {
  const lines = await findProcesses(daemon.workspace.token);
  const served = lines.filter((line) => line.includes(`${shimProgram} `) && !/ (start|delete)$/.test(line));
  return served.map((line) => Number.parseInt(line, 10));
}

async function bundlesOf(daemon: Daemon): Promise<readonly string[]> {
  return await fs.readdir(`${daemon.state}/io.containerd.runtime.v2.task/${daemon.namespace}`);
}

/** Runs a sleeping container in the background. */
const runSleeping = (daemon: Daemon, id: string, flags: readonly string[]): Promise<string> =>
  daemon.ctrOk(["run", "-d", "--null-io", ...flags, busyboxImage, id, "sleep", "1000"]);

describe.skipIf(lacks !== undefined)(`Debian's shim${lacks === undefined ? "" : ` (${lacks})`}`, () => {
  test("runs a container by its path: streams, exec, pause, figures, events, restarts of the daemon, its own death", async () => {
    await using daemon = await startLighter();
    await importBusybox(daemon);
    const flags = ["--runtime", Bun.which(shimProgram) ?? ""];
    const run = ["run", "--rm", ...flags, busyboxImage, "c1", "sh", "-c"];
    {
      await using followed = await followEvents(daemon);
      expect(await daemon.ctr([...run, "echo out; echo err >&2; exit 3"])).toEqual({
        code: 3,
        stdout: "out\n",
        stderr: "err\n",
      });
      const expected = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"];
      await waitFor("the life's events", () => followed.taskTopics().length >= expected.length);
      expect(followed.taskTopics()).toEqual(expected);
    }
    expect((await daemon.ctr([...run.slice(0, -2), "nosuch"])).stderr).toContain('exec: "nosuch": executable file');
    expect(await bundlesOf(daemon)).toEqual([]);
    expect(await shimsOf(daemon)).toEqual([]);

    await runSleeping(daemon, "c2", flags);
    await daemon.kill();
    await daemon.start();
    await daemon.stop();
    await daemon.start();
    expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(/^c2 +\d+ +RUNNING/m);
    const exec = await daemon.ctr(["tasks", "exec", "--exec-id", "e1", "c2", "sh", "-c", "echo out; exit 5"]);
    expect(exec).toEqual({ code: 5, stdout: "out\n", stderr: "" });
    await daemon.ctrOk(["tasks", "pause", "c2"]);
    expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(/^c2 +\d+ +PAUSED/m);
    await daemon.ctrOk(["tasks", "resume", "c2"]);
    expect(await daemon.ctrOk(["tasks", "metrics", "c2"])).toContain("memory.usage");
    expect(await daemon.logs()).toContain("starting signal loop");

    await using followed = await followEvents(daemon);
    const waited = daemon.ctr(["tasks", "attach", "c2"]);
    const [pid] = await shimsOf(daemon);
    process.kill(pid ?? 0, "SIGKILL");
    await waitFor("the end's events", () => followed.taskTopics().length >= 2);
    expect(followed.taskTopics()).toEqual(["/tasks/exit", "/tasks/delete"]);
    const exit = followed.events.find(({ topic }) => topic === "/tasks/exit");
    expect(anyTo(exit!.event!, TaskExitSchema)).toMatchObject({ containerId: "c2", id: "c2", exitStatus: 137 });
    await waited;
    await waitFor("the bundle to go", async () => (await bundlesOf(daemon)).length === 0);
    expect(await daemon.ctrOk(["tasks", "ls", "-q"])).toBe("");
    await daemon.ctrOk(["containers", "rm", "c2"]);
  }, 120_000);

  test("runs what is named io.containerd.runc.v2 where the configuration says so, groups, and dies while the daemon is away", async () => {
    const config = `[plugins."io.containerd.shim.v1.manager"]\nown_shims = ["io.containerd.runc.v2"]\n`;
    await using daemon = await startLighter({ config });
    await importBusybox(daemon);
    const flags = ["--annotation", "io.containerd.runc.v2.group=pod", "--runc-binary", "runc"];
    await runSleeping(daemon, "g1", flags);
    await runSleeping(daemon, "g2", flags);
    expect(await shimsOf(daemon)).toHaveLength(1);
    await daemon.ctrOk(["tasks", "rm", "-f", "g1"]);
    expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(/^g2 +\d+ +RUNNING/m);

    await daemon.kill();
    const [pid] = await shimsOf(daemon);
    process.kill(pid ?? 0, "SIGKILL");
    await daemon.start();
    expect(await daemon.ctrOk(["tasks", "ls", "-q"])).toBe("");
    await waitFor("the bundles to go", async () => (await bundlesOf(daemon)).length === 0);
    for (const id of ["g1", "g2"]) await daemon.ctrOk(["containers", "rm", id]);
  }, 120_000);
});

describe.skipIf(lacks !== undefined)("our own shim host's program", () => {
  const program = path.resolve(import.meta.dir, "../../bin/containerd-shim-lighter-v2");
  const fileOf = (daemon: Daemon, id: string, name: string): string =>
    `${daemon.state}/io.containerd.runtime.v2.task/${daemon.namespace}/${id}/${name}`;
  const hostsOf = async (daemon: Daemon): Promise<number> =>
    (await findProcesses(daemon.workspace.token)).filter((line) => line.includes(" host --socket ")).length;
  /** As a hook of the container's may do, in a process that may be kept waiting. */
  const complain = (daemon: Daemon, id: string, words: string) =>
    Bun.spawn(["sh", "-c", 'echo "$1" > "$2"', "sh", words, fileOf(daemon, id, "log")]).exited;
  const heard = (daemon: Daemon, words: string) =>
    waitFor(`"${words}" in the log`, async () => (await daemon.logs()).includes(words));

  test("is named in its bundles, whose log comes to the daemon's, whatever ends meanwhile", async () => {
    await using daemon = await startLighter();
    await importBusybox(daemon);
    await runSleeping(daemon, "c1", ["--runtime", program]);
    expect(await fs.readFile(fileOf(daemon, "c1", "shim-binary-path"), "utf8")).toBe(program);
    await complain(daemon, "c1", "said to the first");
    await heard(daemon, "said to the first");
    await daemon.kill();
    const said = complain(daemon, "c1", "said to nobody");
    await daemon.start();
    await said;
    await heard(daemon, "said to nobody");
    expect(await hostsOf(daemon)).toBe(1);
    await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
    await waitFor("the bundle to go", async () => (await bundlesOf(daemon)).length === 0);
    await daemon.ctrOk(["containers", "rm", "c1"]);
  }, 120_000);

  test("serves by itself what is given to a copy of it", async () => {
    await using daemon = await startLighter();
    await using place = await createWorkspace();
    await importBusybox(daemon);
    const copy = `${place.folder}/containerd-shim-lighter-v2`;
    await fs.writeFile(copy, `#!/bin/sh\nexec "${program}" "$@"\n`, { mode: 0o755 });
    await runSleeping(daemon, "c1", ["--runtime", copy]);
    expect(await fs.readFile(fileOf(daemon, "c1", "shim-binary-path"), "utf8")).toBe(copy);
    await daemon.kill();
    await daemon.start();
    const exec = await daemon.ctr(["tasks", "exec", "--exec-id", "e1", "c1", "sh", "-c", "echo out; exit 5"]);
    expect(exec).toEqual({ code: 5, stdout: "out\n", stderr: "" });
    await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
    await waitFor("the bundle to go", async () => (await bundlesOf(daemon)).length === 0);
    await daemon.ctrOk(["containers", "rm", "c1"]);
  }, 120_000);
});

/** Puts a shim of each form into a folder for the daemon's PATH. */
async function writeShims(folder: string): Promise<void> {
  const script = path.resolve(import.meta.dir, "../support/foreign-shim.ts");
  await fs.mkdir(folder);
  for (const form of ["line", "json", "proto"]) {
    const text = `#!/bin/sh\nFORM=${form} exec "${process.execPath}" --config=/dev/null "${script}" "$@"\n`;
    await fs.writeFile(path.join(folder, `containerd-shim-${form}-v1`), text, { mode: 0o755 });
  }
}

const foreignLacks = missing(["ours", ...daemonNeeds()]);

describe.skipIf(foreignLacks !== undefined)(
  `a shim of anybody's${foreignLacks === undefined ? "" : ` (${foreignLacks})`}`,
  () => {
    test("is reached in every form: address, JSON and protobuf, Task v2 and v3, ttrpc and gRPC; and has the tasks of its sandbox", async () => {
      await using shims = await createWorkspace();
      const folder = path.join(shims.folder, "bin");
      await writeShims(folder);
      const PATH = `${folder}:${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
      await using daemon = await startLighter({ env: { PATH } });
      await fs.mkdir(`${shims.folder}/rootfs`);
      const run = (id: string, form: string): Promise<string> => {
        const runtime = ["--runtime", `io.containerd.${form}.v1`];
        return daemon.ctrOk(["run", "-d", "--null-io", ...runtime, "--rootfs", `${shims.folder}/rootfs`, id, "true"]);
      };
      await using followed = await followEvents(daemon);
      for (const form of ["line", "json", "proto"]) await run(form, form);
      await daemon.kill();
      await daemon.start();
      for (const form of ["line", "json", "proto"]) {
        expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(new RegExp(`^${form} +\\d+ +RUNNING`, "m"));
      }
      expect(followed.taskTopics()).toEqual(["/tasks/start", "/tasks/start", "/tasks/start"]);
      expect(await daemon.logs()).toContain("proto serves");
      for (const form of ["line", "json"]) await daemon.ctrOk(["tasks", "rm", "-f", form]);
      await endsWithItsShim(daemon, "proto");
      for (const form of ["line", "json", "proto"]) await daemon.ctrOk(["containers", "rm", form]);
      expect(await bundlesOf(daemon)).toEqual([]);
      await sharesTheShimOfItsSandbox(daemon, `${shims.folder}/rootfs`);
    }, 120_000);
  },
);

/** The shim's `delete` says how the task ended. */
async function endsWithItsShim(daemon: Daemon, id: string): Promise<void> {
  await using followed = await followEvents(daemon);
  const [served] = (await findProcesses(daemon.workspace.token)).filter(
    (line) => line.includes(`-id ${id} `) && line.endsWith(" serve"),
  );
  process.kill(Number.parseInt(served ?? "", 10), "SIGKILL");
  await waitFor("the end's events", () => followed.taskTopics().length >= 2);
  const exit = followed.events.find(({ topic }) => topic === "/tasks/exit");
  expect(anyTo(exit!.event!, TaskExitSchema)).toMatchObject({ containerId: id, pid: 7, exitStatus: 42 });
  await waitFor("the task to go", async () => (await daemon.ctrOk(["tasks", "ls", "-q"])) === "");
}

async function sharesTheShimOfItsSandbox(daemon: Daemon, rootfs: string): Promise<void> {
  await using connection = await connectGrpc({ path: daemon.address });
  const call = { namespace: daemon.namespace };
  const controller = connection.client(Controller);
  const sandbox = {
    sandboxId: "s1",
    runtime: { name: "io.containerd.proto.v1" },
    spec: anyOfJson(ociTypeUrls.spec, {}),
  };
  await connection.client(Store).create({ sandbox }, call);
  await controller.create({ sandboxId: "s1", sandbox, sandboxer: "shim" }, call);
  const { pid } = await controller.start({ sandboxId: "s1", sandboxer: "shim" }, call);
  const spec = anyOfJson(ociTypeUrls.spec, {});
  const container = { id: "in-s1", runtime: { name: "io.containerd.nosuch.v1" }, spec, sandbox: "s1" };
  await connection.client(Containers).create({ container }, call);
  const tasks = connection.client(Tasks);
  await tasks.create({ containerId: "in-s1", rootfs: [{ type: "bind", source: rootfs }] }, call);
  await tasks.start({ containerId: "in-s1" }, call);
  expect((await controller.status({ sandboxId: "s1", sandboxer: "shim" }, call)).pid).toBe(pid);
  await daemon.ctrOk(["tasks", "rm", "-f", "in-s1"]);
  expect((await controller.status({ sandboxId: "s1", sandboxer: "shim" }, call)).state).toBe("SANDBOX_READY");
  await daemon.ctrOk(["containers", "rm", "in-s1"]);
  await controller.shutdown({ sandboxId: "s1", sandboxer: "shim" }, call);
  await connection.client(Store).delete({ sandboxId: "s1" }, call);
}
