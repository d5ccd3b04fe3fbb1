import { describe, expect, test } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { Leases } from "../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Mounts } from "../../src/gen/containerd/services/mounts/v1/mounts_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { busyboxImage, importBusybox, missing, startLighter, writeBusyboxRootfs } from "../support/index.ts";

const lacks = missing(["lighterd", "root"]);

describe.skipIf(lacks !== undefined)(`mounts${lacks === undefined ? "" : ` (${lacks})`}`, () => {
  test("are made, outlive the daemon by force, and go with their lease", async () => {
    await using daemon = await startLighter();
    const { namespace } = daemon;
    const tree = path.join(daemon.workspace.folder, "tree");
    await fs.mkdir(tree);
    await fs.writeFile(path.join(tree, "file"), "here");
    const mounts = [{ type: "bind", source: tree, options: ["rbind", "ro"] }];
    const request = { name: "a", mounts, temporary: true, labels: { k: "v" } };
    let point = "";
    {
      await using connection = await connectGrpc({ path: daemon.address });
      const client = connection.client(Mounts, { namespace });
      await connection.client(Leases, { namespace }).create({ id: "held" });
      const { info } = await client.activate(request, { lease: "held" });
      point = info?.active[0]?.mountPoint ?? "";
      expect(info).toMatchObject({ name: "a", labels: { k: "v" }, system: [{ type: "bind", source: point }] });
      expect(await fs.readFile(path.join(point, "file"), "utf8")).toBe("here");
      const answers = [
        () => client.activate(request),
        () => client.activate({ name: "b", mounts }),
        () => client.activate({ name: "b", mounts: [], temporary: true }),
        () => client.deactivate({ name: "b" }),
        () => client.info({ name: "b" }),
        () => client.update({ info: { name: "a" } }),
        () => connection.client(Mounts).info({ name: "a" }),
        () => Array.fromAsync(connection.client(Mounts).list({})),
      ].map(failureText);
      expect(await Promise.all(answers)).toEqual([
        'alreadyExists: mount "a": already exists',
        "notImplemented: not implemented",
        "notImplemented: not implemented",
        'notFound: missing mount "b" bucket: not found',
        'notFound: mount "b" not found',
        "notImplemented: not implemented",
        "failedPrecondition: namespace is required: failed precondition",
        "failedPrecondition: namespace is required: failed precondition",
      ]);
    }
    await daemon.kill();
    await daemon.start();
    await using connection = await connectGrpc({ path: daemon.address });
    const client = connection.client(Mounts, { namespace });
    const listed = await Array.fromAsync(client.list({ filters: ["anything"] }));
    expect(listed.map(({ info }) => info)).toEqual([(await client.info({ name: "a" })).info]);
    expect(listed[0]?.info?.active[0]?.mountPoint).toBe(point);
    await connection.client(Leases, { namespace }).delete({ id: "held", sync: true });
    expect(await Array.fromAsync(client.list({}))).toEqual([]);
    expect(await fs.exists(point)).toBe(false);
  }, 60_000);

  test("that no runtime makes are made for a task, outlive the daemon by force, and go with the task", async () => {
    await using daemon = await startLighter();
    const { namespace, root } = daemon;
    await importBusybox(daemon);
    await daemon.ctrOk(["containers", "create", busyboxImage, "c1", "cp", "/etc/passwd", "/made"]);
    const tree = await writeBusyboxRootfs(path.join(daemon.workspace.folder, "tree"));
    const upper = path.join(root, "rw");
    await fs.mkdir(upper);
    const folders = ["upper", "work"].map((name) => `X-containerd.mkdir.path=${upper}/${name}:755`);
    const layers = ["lowerdir={{ mount 0 }}", `upperdir=${upper}/upper`, `workdir=${upper}/work`];
    const rootfs = [
      { type: "bind", source: tree, options: ["rbind", "ro"] },
      { type: "format/mkdir/overlay", source: "overlay", options: [...folders, ...layers] },
    ];
    {
      await using connection = await connectGrpc({ path: daemon.address });
      await connection.client(Tasks, { namespace }).create({ containerId: "c1", rootfs });
    }
    await daemon.kill();
    await daemon.start();
    await using connection = await connectGrpc({ path: daemon.address });
    const [client, tasks] = [connection.client(Mounts, { namespace }), connection.client(Tasks, { namespace })];
    const { info } = await client.info({ name: "c1" });
    const point = info?.active[0]?.mountPoint ?? "";
    expect(info).toMatchObject({ active: [{ mount: { source: tree } }], system: [{ type: "overlay" }] });
    await tasks.start({ containerId: "c1" });
    expect((await tasks.wait({ containerId: "c1" })).exitStatus).toBe(0);
    expect(await fs.readFile(`${upper}/upper/made`)).toEqual(await fs.readFile(`${tree}/etc/passwd`));
    expect(await fs.exists(path.join(point, "bin"))).toBe(true);
    await tasks.delete({ containerId: "c1" });
    expect(await failureText(() => client.info({ name: "c1" }))).toBe('notFound: mount "c1" not found');
    expect(await fs.exists(point)).toBe(false);
    await daemon.ctrOk(["containers", "rm", "c1"]);
  }, 60_000);
});
