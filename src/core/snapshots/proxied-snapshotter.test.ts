import { describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { alreadyExists, unavailable } from "../../lib/faults.ts";
import { silentLogger as log } from "../../lib/log.ts";
import { createKernel, mountAll, unmountAll } from "../../sys/index.ts";
import { connectGrpc, createGrpcServer } from "../../wire/grpc/index.ts";
import { failureOf } from "../content/testing.ts";
import { createExchange } from "../events/index.ts";
import { createLeaseManager, leasesSchema } from "../leases/index.ts";
import { openMetadata } from "../metadata/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import {
  createSnapshotsService,
  type OwnSnapshotter,
  openOverlaySnapshotter,
  openProxySnapshotter,
  type Snapshotter,
  snapshotsSchema,
  snapshotsToCollect,
} from "./index.ts";
import { type SnapshotterFixture, snapshotterSuite } from "./testing.ts";

const isRoot = process.getuid?.() === 0;
const ctx = createCtx({ namespace: "testing" });
const schemas = [namespacesSchema, leasesSchema, snapshotsSchema];
const files = {
  write: fs.writeFileSync,
  read: (path: string) => (fs.existsSync(path) ? fs.readFileSync(path, "utf8") : undefined),
  remove: (path: string) => fs.rmSync(path),
};

interface Fixture extends SnapshotterFixture {
  readonly backend: OwnSnapshotter;
  readonly collect: () => Promise<void>;
}

/** A snapshotter over a socket, in front of one that keeps files; `wrap` changes what stands behind the socket. */
async function open(wrap: (backend: OwnSnapshotter) => Snapshotter = (backend) => backend): Promise<Fixture> {
  await using stack = new AsyncDisposableStack();
  const folder = fs.mkdtempSync(join(tmpdir(), "lighter-proxied-"));
  stack.defer(() => fs.rmSync(folder, { recursive: true, force: true }));
  const rooms = (name: string) => {
    const metadata = stack.use(openMetadata({ path: join(folder, `${name}.sqlite`), schemas }));
    return { metadata, exchange: createExchange({ log }), leases: createLeaseManager({ metadata }), log };
  };
  const root = join(folder, "overlayfs");
  const backend = stack.use(await openOverlaySnapshotter({ ...rooms("theirs"), root }));
  const served = wrap(backend);
  const server = createGrpcServer({
    services: [createSnapshotsService({ snapshotters: { names: ["remote"], get: () => served } })],
  });
  const path = join(folder, "s.sock");
  await server.listen({ path });
  stack.defer(() => server.close(100));
  const connection = stack.use(await connectGrpc({ path }));
  const mine = rooms("mine");
  const connect = async () => connection.client(Snapshots);
  const snapshotter = stack.use(openProxySnapshotter({ ...mine, name: "remote", connect }));
  const table = snapshotsToCollect([snapshotter], mine);
  const kernel = createKernel();
  const owned = stack.move();
  return {
    snapshotter,
    backend,
    mounted: (mounts, action) => {
      const merged = fs.mkdtempSync(join(folder, "mnt-"));
      mountAll(kernel, mounts, merged);
      try {
        action(merged);
      } finally {
        unmountAll(kernel, merged);
      }
    },
    settle: async () => {
      await snapshotter.cleanup(ctx);
      await backend.cleanup(ctx);
    },
    folders: () => fs.readdirSync(join(root, "snapshots")).sort(),
    collect: async () => {
      await mine.metadata.update((tx) => {
        for (const row of table.page(tx.db, undefined, 100)) table.remove?.(tx, row);
        for (const row of table.page(tx.db, undefined, 100)) table.remove?.(tx, row);
      });
      await table.clean?.();
      await backend.cleanup(ctx);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

if (isRoot) snapshotterSuite("proxied", files, () => open());

describe("a proxied snapshotter", () => {
  test("keeps names of its own there, and takes them away when they are collected", async () => {
    await using fixture = await open();
    const { snapshotter: sn, backend } = fixture;
    await sn.prepare(ctx, "k", "");
    await sn.commit(ctx, "base", "k");
    await sn.prepare(ctx, "top", "base");
    const there = backend.list(ctx, []).map((info) => info.name);
    expect(there).toHaveLength(2);
    expect(there.every((name) => name.startsWith("testing/"))).toBe(true);
    await fixture.collect();
    expect([sn.list(ctx, []), backend.list(ctx, []), fixture.folders()]).toEqual([[], [], []]);
  });

  test("takes what the other process has already for a target", async () => {
    let made = 0;
    await using fixture = await open((backend) => ({
      ...bound(backend),
      prepare: async (call, key, parent, options) => {
        const target = options?.labels?.get("containerd.io/snapshot.ref");
        if (target === undefined) return backend.prepare(call, key, parent, options);
        made++;
        await backend.prepare(call, "own", parent, {});
        await backend.commit(call, "theirs", "own", { labels: options?.labels });
        throw alreadyExists(`snapshot ${target}`);
      },
    }));
    const { snapshotter: sn } = fixture;
    const labels = new Map([["containerd.io/snapshot.ref", "sha256:chain"]]);
    for (const text of ['target snapshot "sha256:chain" from snapshotter', 'target snapshot "sha256:chain"']) {
      const failure = await failureOf(() => sn.prepare(ctx, "k", "", { labels }));
      expect(failure).toEqual({ kind: "alreadyExists", message: `${text}: already exists` });
    }
    expect([made, sn.stat(ctx, "sha256:chain").kind]).toEqual([1, "committed"]);
    expect(await sn.prepare(ctx, "on-top", "sha256:chain")).toHaveLength(1);
  });

  test("a commit that was cut off after the other process did it is repeated; a creation that failed leaves nothing", async () => {
    let fail = true;
    await using fixture = await open((backend) => ({
      ...bound(backend),
      prepare: async (call, key, parent, options) => {
        const mounts = await backend.prepare(call, key, parent, options);
        if (options?.labels?.has("containerd.io/snapshot/lost") === true) throw unavailable("the line was cut");
        return mounts;
      },
      commit: async (call, name, key, options) => {
        await backend.commit(call, name, key, options);
        if (fail) throw unavailable("the line was cut");
      },
      usage: (call, key) => (fail ? Promise.reject(unavailable("the line was cut")) : backend.usage(call, key)),
    }));
    const { snapshotter: sn, backend } = fixture;
    await sn.prepare(ctx, "k", "");
    expect((await failureOf(() => sn.commit(ctx, "n", "k"))).kind).toBe("unavailable");
    fail = false;
    await sn.commit(ctx, "n", "k");
    expect(sn.list(ctx, []).map((info) => info.name)).toEqual(["n"]);
    const labels = new Map([["containerd.io/snapshot/lost", "1"]]);
    expect((await failureOf(() => sn.prepare(ctx, "lost", "", { labels }))).kind).toBe("unavailable");
    await sn.cleanup(ctx);
    expect(backend.list(ctx, [])).toHaveLength(1);
  });
});

function bound(backend: OwnSnapshotter): Snapshotter {
  return {
    name: backend.name,
    stat: backend.stat.bind(backend),
    list: backend.list.bind(backend),
    update: backend.update.bind(backend),
    usage: backend.usage.bind(backend),
    mounts: backend.mounts.bind(backend),
    prepare: backend.prepare.bind(backend),
    view: backend.view.bind(backend),
    commit: backend.commit.bind(backend),
    remove: backend.remove.bind(backend),
    cleanup: backend.cleanup.bind(backend),
  };
}
