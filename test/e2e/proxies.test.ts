import { describe, expect } from "bun:test";
import path from "node:path";
import { contentSchema, createContentService, openContentStore } from "../../src/core/content/index.ts";
import { theOnlyNamespace, withoutNamespaces } from "../../src/core/content/testing.ts";
import { createExchange } from "../../src/core/events/index.ts";
import { createLeaseManager, leasesSchema } from "../../src/core/leases/index.ts";
import { openMetadata } from "../../src/core/metadata/index.ts";
import { namespacesSchema } from "../../src/core/namespaces/index.ts";
import { createSnapshotsService, openOverlaySnapshotter, snapshotsSchema } from "../../src/core/snapshots/index.ts";
import { Diff } from "../../src/gen/containerd/services/diff/v1/diff_pb.ts";
import { createCtx } from "../../src/lib/ctx.ts";
import { notImplemented } from "../../src/lib/faults.ts";
import { silentLogger as log } from "../../src/lib/log.ts";
import { createGrpcServer } from "../../src/wire/grpc/index.ts";
import { defineService } from "../../src/wire/service.ts";
import {
  busyboxImage,
  createWorkspace,
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

describe("proxy plugins", () => {
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
