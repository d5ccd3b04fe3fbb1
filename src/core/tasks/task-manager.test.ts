import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CheckpointOptionsSchema, OptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import { DescriptorSchema } from "../../gen/containerd/types/descriptor_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { anyOf, anyOfJson, anyTo, ociTypeUrls } from "../../wire/any.ts";
import { anyBytes, creation, failure, noIo, TestDaemon, until } from "./test-daemon.ts";
import { FakeHost } from "./testing.ts";

describe("TaskManager.create", () => {
  test("makes the bundle with the spec as it is, and asks the host", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    const io = { ...noIo, stdout: "/tmp/out" };
    const pid = await daemon.tasks.create(daemon.ctx, creation("c1", { io }));
    expect(host.tasks.get("default/c1")).toMatchObject({ bundle: daemon.bundle("c1") });
    expect(host.tasks.get("default/c1")?.processes.get("")?.pid).toBe(pid);
    expect(await readFile(join(daemon.bundle("c1"), "config.json"), "utf8")).toBe('{"id":"c1"}');
    expect((await stat(daemon.bundle("c1"))).mode & 0o777).toBe(0o700);
    expect((await stat(join(daemon.bundle("c1"), ".."))).mode & 0o777).toBe(0o711);
    const state = await (await daemon.tasks.get(daemon.ctx, "c1")).state("");
    expect(state).toMatchObject({ pid, status: Status.CREATED, stdout: "/tmp/out" });
  });

  test("opens the bundle to the group that a user namespace maps", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const linux = { gidMappings: [{ containerID: 0, hostID: 100000, size: 65536 }] };
    daemon.container("c1", undefined, anyOfJson(ociTypeUrls.spec, { linux }));
    await daemon.tasks.create(daemon.ctx, creation("c1"));
    const { gid, mode } = await stat(daemon.bundle("c1"));
    expect([gid, mode & 0o777]).toEqual([100000, 0o710]);
  });

  test("says which container is missing, which task is there, which id is bad", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const refused = (id: string): Promise<unknown> => daemon.tasks.create(daemon.ctx, creation(id));
    expect(await failure(refused("nobody"))).toContain('container "nobody" in namespace "default": not found');
    await daemon.running("c1");
    expect(await failure(refused("c1"))).toContain("task c1: already exists");
    daemon.container("../c2");
    expect(await failure(refused("../c2"))).toContain("invalid task id ../c2: identifier");
    expect(await failure(daemon.tasks.create(createCtx(), creation("c1")))).toContain("namespace is required");
  });

  test("says what is wrong with a runtime that it can't run", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const refused = (runtime: string): Promise<unknown> => {
      daemon.container("c1", runtime);
      return daemon.tasks.create(daemon.ctx, creation("c1"));
    };
    const resolving = "failed to start shim: failed to resolve runtime path:";
    expect(await failure(refused("io.containerd.nosuch.v9"))).toContain(
      `${resolving} runtime "io.containerd.nosuch.v9" binary not installed "containerd-shim-nosuch-v9": file does not exist`,
    );
    expect(await failure(refused("/no/such/shim"))).toContain(
      `${resolving} invalid custom binary path: stat /no/such/shim: no such file or directory`,
    );
    expect(await failure(refused("a/b"))).toContain(
      `${resolving} invalid runtime name a/b, correct runtime name should be`,
    );
    expect(await failure(refused(""))).toContain(`${resolving} no runtime name`);
    expect(await failure(refused("/usr/bin/env"))).toMatch(/^failed to start shim: start failed: .*exit status 125$/s);
    expect(existsSync(daemon.bundle("c1"))).toBe(false);
    expect(host.launches).toBe(0);
  });

  test("leaves nothing when the runtime fails, and passes on what it said", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    host.failCall = (method) =>
      method === "create" ? new Error("OCI runtime create failed: no such program") : undefined;
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1")))).toContain(
      "failed to create shim task: OCI runtime create failed: no such program",
    );
    await until(() => !existsSync(daemon.bundle("c1")), "the bundle's end");
    expect(await failure(daemon.tasks.get(daemon.ctx, "c1"))).toContain("task c1 not found");
    host.failCall = () => undefined;
    await daemon.tasks.create(daemon.ctx, creation("c1"));
  });

  test("takes down what the host made when its answer never came", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    host.beforeAnswer = async (method) => {
      if (method === "create") await host.die();
    };
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1")))).toContain("went away during the call");
    await until(() => host.tasks.size === 0 && !existsSync(daemon.bundle("c1")), "the task's end");
  });

  test("gives the request's options before the container's, and takes no others than runc's", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    const asked = create(OptionsSchema, { binaryName: "crun" });
    const own = create(OptionsSchema, { binaryName: "runc" });
    const runtime = daemon.containers.get("c1")?.runtime;
    if (runtime !== undefined) runtime.options = anyOf(OptionsSchema, own);
    await daemon.tasks.create(daemon.ctx, creation("c1", { options: anyOf(OptionsSchema, asked) }));
    const options = host.tasks.get("default/c1")?.options;
    expect(options === undefined ? undefined : anyTo(options, OptionsSchema).binaryName).toBe("crun");
    daemon.container("c2");
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c2", { options: anyBytes("x.Y") })))).toContain(
      "invalid task create option for io.containerd.runc.v2",
    );
  });

  test("replaces a bundle that nobody owns", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.tasks.recovered;
    await mkdir(join(daemon.bundle("c1"), "rootfs"), { recursive: true });
    await daemon.running("c1");
    expect(await readFile(join(daemon.bundle("c1"), "config.json"), "utf8")).toBe('{"id":"c1"}');
  });
});

describe("TaskManager.delete", () => {
  test("removes no folder but the task's own, whatever the host says of it", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await daemon.down();
    const precious = join(daemon.folder, "precious");
    await mkdir(precious);
    for (const task of host.tasks.values()) {
      host.tasks.set("default/c1", { ...task, bundle: precious });
      host.tasks.set("default/../c2", { ...task, id: "../c2" });
      break;
    }
    await daemon.up();
    expect((await daemon.tasks.list(daemon.ctx)).map(({ id, bundle }) => ({ id, bundle }))).toEqual([
      { id: "c1", bundle: daemon.bundle("c1") },
    ]);
    host.exit("default", "c1", "", 0);
    await daemon.tasks.delete(daemon.ctx, "c1");
    expect([existsSync(precious), existsSync(daemon.bundle("c1"))]).toEqual([true, false]);
  });

  test("answers how the task ended and removes its bundle", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    const pid = await daemon.running("c1");
    expect(await failure(daemon.tasks.delete(daemon.ctx, "c1"))).toContain(
      "failed to delete task: cannot delete a running process",
    );
    host.exit("default", "c1", "", 7);
    expect(await daemon.tasks.delete(daemon.ctx, "c1")).toMatchObject({ pid, exitStatus: 7 });
    expect(existsSync(daemon.bundle("c1"))).toBe(false);
    expect(await failure(daemon.tasks.delete(daemon.ctx, "c1"))).toContain("task c1 not found");
    await daemon.running("c1");
  });

  test("lets go of a task that the host knows no more", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    host.tasks.clear();
    expect(await failure(daemon.tasks.delete(daemon.ctx, "c1"))).toContain("not found");
    await until(() => !existsSync(daemon.bundle("c1")), "the bundle's end");
    await daemon.running("c1");
  });
});

describe("checkpoints of a task", () => {
  test("are the images and the spec as content, from which another task starts", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    const [image, config] = await daemon.tasks.checkpoint(daemon.ctx, "c1", undefined);
    expect(image?.mediaType).toBe("application/vnd.containerd.container.criu.checkpoint.criu.tar");
    expect(config?.mediaType).toBe("application/vnd.containerd.container.checkpoint.config.v1+proto");
    daemon.container("c2");
    await daemon.tasks.create(daemon.ctx, creation("c2", { checkpoint: image }));
    const folder = host.tasks.get("default/c2")?.checkpoint ?? "";
    expect(await readFile(join(folder, "pages-1.img"), "utf8")).toBe("pages of memory");
    host.exit("default", "c2", "", 0);
    await daemon.tasks.delete(daemon.ctx, "c2");
    expect(existsSync(folder)).toBe(false);
  });

  test("go into files alone when a path is named", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    const imagePath = join(daemon.folder, "images");
    const options = anyOf(CheckpointOptionsSchema, create(CheckpointOptionsSchema, { imagePath }));
    expect(await daemon.tasks.checkpoint(daemon.ctx, "c1", options)).toEqual([]);
    expect(existsSync(join(imagePath, "inventory.img"))).toBe(true);
    expect(await failure(daemon.tasks.checkpoint(daemon.ctx, "c1", anyBytes("x.Y")))).toContain(
      "invalid task checkpoint option for io.containerd.runc.v2",
    );
  });

  test("of a type that nobody knows are refused", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    daemon.container("c1");
    const checkpoint = create(DescriptorSchema, { mediaType: "text/plain", digest: `sha256:${"0".repeat(64)}` });
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1", { checkpoint })))).toContain(
      'unsupported checkpoint type "text/plain"',
    );
  });
});
