import { describe, expect, test } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { TaskExitSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { RuntimeInfoSchema } from "../../src/gen/containerd/types/introspection_pb.ts";
import { anyOf, anyTo } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import {
  busyboxImage,
  createWorkspace,
  criuFolder,
  daemonNeeds,
  findProcesses,
  followEvents,
  importBusybox,
  missing,
  startContainerd,
  waitFor,
} from "../support/index.ts";

const bin = path.resolve(import.meta.dir, "../../bin");
const program = `${bin}/containerd-shim-lighter-v2`;
const runtime = ["--runtime", "io.containerd.lighter.v2"];
const lacks = missing(["ours", "containerd", ...daemonNeeds()]);

describe.skipIf(lacks !== undefined)(`our shim under containerd${lacks === undefined ? "" : ` (${lacks})`}`, () => {
  test("runs containers: streams, exec, pause, figures, OOM, events, a restart of containerd, its own death, an end without traces", async () => {
    const PATH = `${bin}:${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
    await using daemon = await startContainerd({ env: { PATH } });
    await importBusybox(daemon);
    const bundles = `${daemon.state}/io.containerd.runtime.v2.task/${daemon.namespace}`;
    const hostFolder = `${daemon.state}/io.lighter.shim/state`;
    {
      await using followed = await followEvents(daemon);
      const run = ["run", "--rm", ...runtime, busyboxImage, "c1", "sh", "-c", "echo out; echo err >&2; exit 3"];
      expect(await daemon.ctr(run)).toEqual({ code: 3, stdout: "out\n", stderr: "err\n" });
      const life = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"];
      await waitFor("the life's events", () => followed.taskTopics().length >= life.length);
      expect(followed.taskTopics()).toEqual(life);
    }
    expect((await daemon.ctr(["run", "--rm", ...runtime, busyboxImage, "c1", "nosuch"])).stderr).toContain("nosuch");
    expect(await fs.readdir(bundles)).toEqual([]);
    {
      await using followed = await followEvents(daemon);
      const eater = ["sh", "-c", "tail /dev/zero"];
      const limit = ["--memory-limit", String(16 << 20)];
      expect((await daemon.ctr(["run", "--rm", ...runtime, ...limit, busyboxImage, "eater", ...eater])).code).toBe(137);
      await waitFor("the OOM's event", () => followed.taskTopics().includes("/tasks/oom"));
    }

    const sleep = (id: string): Promise<string> =>
      daemon.ctrOk(["run", "-d", "--null-io", ...runtime, busyboxImage, id, "sleep", "1000"]);
    await sleep("c2");
    await sleep("c3");
    const hosts = async (): Promise<readonly string[]> =>
      (await findProcesses(daemon.workspace.token)).filter((line) => line.includes("lighter-v2.ts host"));
    expect(await hosts()).toHaveLength(1);
    await daemon.kill();
    await daemon.start();
    expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(/^c2 +\d+ +RUNNING/m);
    const exec = await daemon.ctr(["tasks", "exec", "--exec-id", "e1", "c2", "sh", "-c", "echo out; exit 5"]);
    expect(exec).toEqual({ code: 5, stdout: "out\n", stderr: "" });
    await daemon.ctrOk(["tasks", "pause", "c2"]);
    expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(/^c2 +\d+ +PAUSED/m);
    await daemon.ctrOk(["tasks", "resume", "c2"]);
    expect(await daemon.ctrOk(["tasks", "metrics", "c2"])).toContain("memory.usage");
    await daemon.ctrOk(["tasks", "rm", "-f", "c3"]);

    // containerd has the shim's program clean up after a host that it lost, which another host does.
    await using followed = await followEvents(daemon);
    process.kill(Number.parseInt((await hosts())[0] ?? "", 10), "SIGKILL");
    await waitFor("the end's events", () => followed.taskTopics().includes("/tasks/delete"), 20_000);
    const exit = followed.events.find(({ topic }) => topic === "/tasks/exit");
    expect(anyTo(exit!.event!, TaskExitSchema)).toMatchObject({ containerId: "c2", id: "c2", exitStatus: 137 });
    await waitFor("the bundle to go", async () => (await fs.readdir(bundles)).length === 0);
    for (const id of ["c2", "c3"]) await daemon.ctrOk(["containers", "rm", id]);
    await waitFor("the host to end", async () => (await hosts()).length === 0, 20_000);
    expect(await fs.exists(hostFolder)).toBe(false);
  }, 180_000);

  test.skipIf(missing(["criu"]) !== undefined)(
    "takes the place of runc's own, with its options; checkpoints and restores",
    async () => {
      await using place = await createWorkspace();
      await fs.symlink(program, `${place.folder}/containerd-shim-runc-v2`);
      const PATH = `${place.folder}:${criuFolder}:${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
      await using daemon = await startContainerd({ env: { PATH } });
      await importBusybox(daemon);
      await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "sleep", "1000"]);
      const images = `${place.folder}/images`;
      await fs.mkdir(images);
      await daemon.ctrOk(["tasks", "checkpoint", "--image-path", images, "--exit", "c1"]);
      await waitFor("the end", async () => /^c1 +\d+ +STOPPED/m.test(await daemon.ctrOk(["tasks", "ls"])));
      await daemon.ctr(["tasks", "rm", "c1"]); // its exit code is that of the task
      await using connection = await connectGrpc({ path: daemon.address });
      const call = { namespace: daemon.namespace };
      const { mounts: rootfs } = await connection
        .client(Snapshots)
        .mounts({ snapshotter: "overlayfs", key: "c1" }, call);
      const options = anyOf(OptionsSchema, create(OptionsSchema, { binaryName: "runc", criuImagePath: images }));
      await connection.client(Tasks).create({ containerId: "c1", rootfs, options }, call);
      await connection.client(Tasks).start({ containerId: "c1" }, call);
      expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(/^c1 +\d+ +RUNNING/m);
    },
    120_000,
  );

  test("says what it is, and refuses what it can't read", async () => {
    const ask = async (...args: string[]): Promise<{ code: number; stdout: Uint8Array; stderr: string }> => {
      const child = Bun.spawn([program, ...args], { stdin: new Uint8Array(), stdout: "pipe", stderr: "pipe" });
      const [stdout, stderr, code] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
      return { code, stdout, stderr };
    };
    expect(Buffer.from((await ask("-v")).stdout).toString()).toStartWith("containerd-shim-lighter-v2:\n  Version:  v");
    expect(fromBinary(RuntimeInfoSchema, (await ask("-info")).stdout).name).toBe("io.containerd.lighter.v2");
    expect(await ask("-id", "a", "start")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("namespace cannot"),
    });
    expect((await ask("-namespace", "n", "-id", "../a", "start")).stderr).toContain("identifier");
    expect((await ask("-nosuch")).stderr).toContain("flag provided but not defined: -nosuch");
  }, 60_000);
});
