import { describe, expect } from "bun:test";
import path from "node:path";
import { contentSchema, createContentService, openContentStore } from "../../src/core/content/index.ts";
import { theOnlyNamespace, withoutNamespaces } from "../../src/core/content/testing.ts";
import { createExchange } from "../../src/core/events/index.ts";
import { createLeaseManager, leasesSchema } from "../../src/core/leases/index.ts";
import { openMetadata } from "../../src/core/metadata/index.ts";
import { namespacesSchema } from "../../src/core/namespaces/index.ts";
import { createProxyController } from "../../src/core/proxies/proxied-controller.ts";
import { createSandboxControllerService, type SandboxController } from "../../src/core/sandbox/index.ts";
import { createSnapshotsService, openOverlaySnapshotter, snapshotsSchema } from "../../src/core/snapshots/index.ts";
import { Containers } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Diff } from "../../src/gen/containerd/services/diff/v1/diff_pb.ts";
import { Controller, Store } from "../../src/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { Task as ShimTask } from "../../src/gen/containerd/task/v3/shim_pb.ts";
import { type Ctx, createCtx } from "../../src/lib/ctx.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { notImplemented } from "../../src/lib/faults.ts";
import { silentLogger as log } from "../../src/lib/log.ts";
import { connectGrpc, createGrpcServer } from "../../src/wire/grpc/index.ts";
import { defineService, type ServiceDefinition } from "../../src/wire/service.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  importBusybox,
  startDaemon,
  testNeeding,
} from "../support/index.ts";

/** Another process's snapshotter, and a differ that leaves everything to the next. */
async function serveRemote(folder: string, asked: () => void) {
  await using stack = new AsyncDisposableStack();
  const schemas = [namespacesSchema, leasesSchema, snapshotsSchema];
  const metadata = stack.use(openMetadata({ path: path.join(folder, "remote.sqlite"), schemas }));
  const rooms = { metadata, exchange: createExchange({ log }), leases: createLeaseManager({ metadata }), log };
  const snapshotter = stack.use(await openOverlaySnapshotter({ ...rooms, root: path.join(folder, "remote") }));
  const server = createGrpcServer({
    services: [
      createSnapshotsService({ snapshotters: { names: ["remote"], get: () => snapshotter } }),
      defineService(Diff, {
        apply: () => {
          asked();
          throw notImplemented("apply");
        },
      }),
    ],
  });
  const address = path.join(folder, "remote.sock");
  await server.listen({ path: address });
  stack.defer(() => server.close(100));
  const owned = stack.move();
  return { address, snapshotter, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Another process's content store, which knows of no namespaces. */
async function serveContent(folder: string) {
  await using stack = new AsyncDisposableStack();
  const schemas = [namespacesSchema, leasesSchema, contentSchema];
  const metadata = stack.use(openMetadata({ path: path.join(folder, "theirs.sqlite"), schemas }));
  const rooms = { metadata, exchange: createExchange({ log }), leases: createLeaseManager({ metadata }), log };
  const store = stack.use(await openContentStore({ ...rooms, root: path.join(folder, "theirs") }));
  const server = createGrpcServer({ services: [createContentService({ store: withoutNamespaces(store) })] });
  const address = path.join(folder, "content.sock");
  await server.listen({ path: address });
  stack.defer(() => server.close(100));
  const owned = stack.move();
  return { address, store, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/**
 * Another process's sandboxes: those of a second daemon, and where its shim host takes calls, which a daemon does not tell.
 */
async function serveSandboxes(folder: string, daemon: Daemon) {
  await using stack = new AsyncDisposableStack();
  const connection = stack.use(await connectGrpc({ path: daemon.address }));
  const theirs = createProxyController("shim", async () => connection.client(Controller));
  const endpoint = { address: `ttrpc+unix://${path.join(daemon.state, "shim", "host.sock")}`, version: 3 };
  const controller: SandboxController = {
    ...theirs,
    start: async (ctx, id) => ({ ...(await theirs.start(ctx, id)), ...endpoint }),
    status: async (ctx, id, verbose) => ({ ...(await theirs.status(ctx, id, verbose)), ...endpoint }),
  };
  const service = createSandboxControllerService({
    controllers: new Map([["far", controller]]),
    exchange: createExchange({ log }),
  });
  // A daemon leaves the address out of its answers, as containerd does; processes that are proxied don't.
  const impl = service.impl as { status: (ctx: Ctx, request: { sandboxId: string }) => Promise<object> };
  const told: ServiceDefinition = {
    ...service,
    impl: {
      ...service.impl,
      status: async (ctx: Ctx, request: { sandboxId: string }) => ({
        ...(await impl.status(ctx, request)),
        ...endpoint,
      }),
    },
  };
  const server = createGrpcServer({ services: [told] });
  const address = path.join(folder, "sandboxes.sock");
  await server.listen({ path: address });
  stack.defer(() => server.close(100));
  const owned = stack.move();
  return { address, endpoint, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe("proxy plugins", () => {
  testNeeding(
    daemonNeeds(),
    "another process has the sandboxes, and runs the containers in them where its controller says",
    async () => {
      await using workspace = await createWorkspace();
      await using far = await startDaemon({});
      await using remote = await serveSandboxes(workspace.folder, far);
      await using daemon = await startDaemon({
        config: `
[proxy_plugins.far]
  type = "sandbox"
  address = "${remote.address}"
`,
      });
      await importBusybox(daemon);
      await using connection = await connectGrpc({ path: daemon.address });
      const { namespace } = daemon;
      const sandboxes = connection.client(Controller, { namespace });
      const ask = { sandboxId: "pod", sandboxer: "far" };
      const { sandbox } = await connection
        .client(Store, { namespace })
        .create({ sandbox: { ...ask, runtime: { name: "io.containerd.runc.v2" } } });
      await sandboxes.create({ ...ask, sandbox: sandbox! });
      await sandboxes.start(ask);
      expect((await sandboxes.status(ask)).state).toBe("SANDBOX_READY");
      expect(await daemon.ctrOk(["plugins", "ls"])).toMatch(/io\.containerd\.sandbox\.controller\.v1\s+far\s+\S+\s+ok/);

      await daemon.ctrOk(["containers", "create", busyboxImage, "c0", "sleep", "100"]);
      const containers = connection.client(Containers, { namespace });
      const { container } = await containers.get({ id: "c0" });
      await containers.create({ container: { ...container!, id: "c1", sandbox: "pod" } });
      const tasks = connection.client(Tasks, { namespace });
      const snapshots = connection.client(Snapshots, { namespace });
      const { mounts } = await snapshots.mounts({ snapshotter: "overlayfs", key: "c0" });
      for (const more of [{}, { taskApiAddress: remote.endpoint.address, taskApiVersion: 3 }]) {
        const { pid } = await tasks.create({ containerId: "c1", rootfs: mounts, ...more });
        await tasks.start({ containerId: "c1" });
        const waiting = tasks.wait({ containerId: "c1" });
        await using host = await connectTtrpc({ path: path.join(far.state, "shim", "host.sock") });
        expect((await host.client(ShimTask, { namespace }).state({ id: "c1" })).pid).toBe(pid);
        await tasks.kill({ containerId: "c1", signal: 9 });
        expect((await waiting).exitStatus).toBe(137);
        await tasks.delete({ containerId: "c1" });
      }
      const bad = () =>
        tasks.create({ containerId: "c1", rootfs: mounts, taskApiAddress: "unix:///x", taskApiVersion: 3 });
      expect(await failureText(bad)).toContain("failed to start shim: the scheme of sandbox address should be in");
      await sandboxes.stop({ ...ask, timeoutSecs: 0 });
      await sandboxes.shutdown(ask);
    },
    90_000,
  );

  testNeeding(
    daemonNeeds(),
    "an image lies in another process's content store, is run from there and collected there",
    async () => {
      await using workspace = await createWorkspace();
      await using remote = await serveContent(workspace.folder);
      const config = `
disabled_plugins = ["io.containerd.content.v1.content"]
[proxy_plugins.far]
  type = "content"
  address = "${remote.address}"
`;
      await using daemon = await startDaemon({ config });
      await importBusybox(daemon);
      const there = () => remote.store.list(theOnlyNamespace, []).length;
      expect(there()).toBeGreaterThan(2);
      const flags = ["--rm", ...daemon.runtimeFlags];
      expect(await daemon.ctrOk(["run", ...flags, busyboxImage, "c1", "echo", "from afar"])).toBe("from afar\n");
      const exported = path.join(workspace.folder, "exported.tar");
      await daemon.ctrOk(["images", "export", exported, busyboxImage]);
      expect(await daemon.ctrOk(["plugins", "ls"])).toMatch(/io\.containerd\.content\.v1\s+far\s+\S+\s+ok/);
      await daemon.ctrOk(["images", "rm", "--sync", busyboxImage]);
      expect(there()).toBe(0);
      await daemon.ctrOk(["images", "import", exported]);
      expect(there()).toBeGreaterThan(2);
    },
    90_000,
  );

  testNeeding(
    daemonNeeds(),
    "a second content store beside the daemon's own is refused with what to do",
    async () => {
      await using daemon = await startDaemon({
        config: `
[proxy_plugins.far]
  type = "content"
  address = "/nowhere.sock"
`,
      });
      expect(await daemon.ctrOk(["plugins", "ls"])).toMatch(/io\.containerd\.grpc\.v1\s+content\s+\S+\s+error/);
    },
    90_000,
  );

  testNeeding(
    daemonNeeds(),
    "a container runs on another process's snapshotter, whose snapshots are collected with the image",
    async () => {
      await using workspace = await createWorkspace();
      let asked = 0;
      await using remote = await serveRemote(workspace.folder, () => asked++);
      const config = `
[proxy_plugins.remote]
  type = "snapshot"
  address = "${remote.address}"
  capabilities = ["rebase"]
[proxy_plugins.theirs]
  type = "diff"
  address = "${remote.address}"
[plugins."io.containerd.service.v1.diff-service"]
  default = ["theirs", "walking"]
`;
      await using daemon = await startDaemon({ config });
      await importBusybox(daemon);
      const flags = ["--rm", "--snapshotter", "remote", ...daemon.runtimeFlags];
      expect(await daemon.ctrOk(["run", ...flags, busyboxImage, "c1", "echo", "aboard"])).toBe("aboard\n");
      const ctx = createCtx({ namespace: daemon.namespace });
      const kinds = remote.snapshotter.list(ctx, []).map((info) => info.kind);
      expect(kinds.filter((kind) => kind === "committed").length).toBeGreaterThan(1);
      expect(asked).toBeGreaterThan(1);
      expect(await daemon.ctrOk(["plugins", "ls"])).toMatch(/io\.containerd\.snapshotter\.v1\s+remote\s+\S+\s+ok/);
      await daemon.ctrOk(["images", "rm", "--sync", busyboxImage]);
      expect(remote.snapshotter.list(ctx, [])).toEqual([]);
    },
    90_000,
  );
});
