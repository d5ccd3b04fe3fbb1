import { expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCtx } from "../../lib/ctx.ts";
import { silentLogger } from "../../lib/log.ts";
import { createKernel, mountAll, unmountAll } from "../../sys/index.ts";
import { failureOf } from "../content/testing.ts";
import { createExchange } from "../events/index.ts";
import { createLeaseManager, leasesSchema } from "../leases/index.ts";
import { openMetadata } from "../metadata/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import {
  createSnapshotters,
  type OwnSnapshotter,
  openNativeSnapshotter,
  openOverlaySnapshotter,
  type SnapshotterOptions,
  snapshotsSchema,
} from "./index.ts";
import { type SnapshotterFixture, type SuiteFiles, snapshotterSuite } from "./testing.ts";

const isRoot = process.getuid?.() === 0;
const requiresRoot = isRoot ? test : test.skip;
const kernel = createKernel();
const ctx = createCtx({ namespace: "testing" });

const files: SuiteFiles = {
  write: (path, text) => fs.writeFileSync(path, text),
  read: (path) => (fs.existsSync(path) ? fs.readFileSync(path, "utf8") : undefined),
  remove: (path) => fs.rmSync(path),
};

interface Fixture extends SnapshotterFixture {
  snapshotter: OwnSnapshotter;
  readonly root: string;
  readonly options: SnapshotterOptions;
  reopen(): Promise<void>;
}

async function open(make: (options: SnapshotterOptions) => Promise<OwnSnapshotter>): Promise<Fixture> {
  const folder = fs.mkdtempSync(join(tmpdir(), "lighter-snapshots-"));
  const root = join(folder, "sn");
  const merged = join(folder, "merged");
  fs.mkdirSync(merged);
  const metadata = openMetadata({
    path: join(folder, "meta.db"),
    schemas: [namespacesSchema, leasesSchema, snapshotsSchema],
  });
  const exchange = createExchange({ log: silentLogger });
  const options = { root, metadata, exchange, leases: createLeaseManager({ metadata }), log: silentLogger };
  const fixture: Fixture = {
    root,
    options,
    snapshotter: await make(options),
    reopen: async () => {
      fixture.snapshotter = await make(options);
    },
    mounted: (mounts, action) => {
      mountAll(kernel, mounts, merged);
      try {
        action(merged);
      } finally {
        unmountAll(kernel, merged);
      }
    },
    settle: () => fixture.snapshotter.cleanup(ctx),
    folders: () => fs.readdirSync(join(root, "snapshots")).sort(),
    [Symbol.asyncDispose]: async () => {
      await fixture.snapshotter[Symbol.asyncDispose]();
      await metadata[Symbol.asyncDispose]();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
  return fixture;
}

if (isRoot) {
  snapshotterSuite("overlayfs", files, () => open(openOverlaySnapshotter));
  snapshotterSuite("native", files, () => open(openNativeSnapshotter));
}

test("overlayfs: mounts are written as containerd writes them", async () => {
  await using fixture = await open(openOverlaySnapshotter);
  const { snapshotter: sn, root } = fixture;
  const path = (id: number, kind = "fs"): string => join(root, "snapshots", String(id), kind);
  expect(await sn.prepare(ctx, "k1", "")).toEqual([
    { type: "bind", source: path(1), target: "", options: ["rw", "rbind"] },
  ]);
  await sn.commit(ctx, "n1", "k1");
  const [active] = await sn.prepare(ctx, "k2", "n1");
  expect(active?.options.slice(0, 3)).toEqual([
    `workdir=${path(2, "work")}`,
    `upperdir=${path(2)}`,
    `lowerdir=${path(1)}`,
  ]);
  expect(await sn.view(ctx, "v1", "n1")).toEqual([
    { type: "bind", source: path(1), target: "", options: ["ro", "rbind"] },
  ]);
  await sn.commit(ctx, "n2", "k2");
  const [view] = await sn.view(ctx, "v2", "n2");
  expect(view?.options[0]).toBe(`lowerdir=${path(2)}:${path(1)}`);
});

test("overlayfs: a layer that was prepared on nothing finds its parent at its commit", async () => {
  await using fixture = await open(openOverlaySnapshotter);
  const { snapshotter: sn } = fixture;
  await sn.prepare(ctx, "k1", "");
  await sn.prepare(ctx, "k2", "");
  await sn.commit(ctx, "n1", "k1");
  await sn.commit(ctx, "n2", "k2", { parent: "n1" });
  expect(sn.stat(ctx, "n2").parent).toBe("n1");
  expect((await failureOf(() => sn.remove(ctx, "n1"))).message).toContain("cannot remove snapshot with child");
  await sn.prepare(ctx, "k3", "n2");
  expect(await failureOf(() => sn.commit(ctx, "n3", "k3", { parent: "n1" }))).toEqual({
    kind: "invalidArgument",
    message: expect.stringContaining('cannot change parent of active snapshot "k3" on commit: invalid argument'),
  });
  await sn.commit(ctx, "n3", "k3", { parent: "n2" });
});

requiresRoot("overlayfs: more layers than a page of mount options holds", async () => {
  await using fixture = await open(openOverlaySnapshotter);
  const { snapshotter: sn } = fixture;
  let parent = "";
  for (let index = 0; index < 90; index++) {
    const mounts = await sn.prepare(ctx, `k${index}`, parent);
    if (index % 30 === 0) fixture.mounted(mounts, (root) => files.write(`${root}/f${index}`, "x"));
    await sn.commit(ctx, `n${index}`, `k${index}`);
    parent = `n${index}`;
  }
  fixture.mounted(await sn.prepare(ctx, "top", parent), (root) => {
    expect(fs.readdirSync(root).sort()).toEqual(["f0", "f30", "f60"]);
  });
});

requiresRoot("a new snapshot's root belongs to whom its parent's does", async () => {
  await using fixture = await open(openOverlaySnapshotter);
  const { snapshotter: sn, root } = fixture;
  fixture.mounted(await sn.prepare(ctx, "k1", ""), (top) => fs.chownSync(top, 11, 12));
  await sn.commit(ctx, "n1", "k1");
  await sn.prepare(ctx, "k2", "n1");
  const stats = fs.statSync(join(root, "snapshots/2/fs"));
  expect([stats.uid, stats.gid]).toEqual([11, 12]);
  const labels = new Map([
    ["containerd.io/snapshot/uidmapping", "0:1000:65536"],
    ["containerd.io/snapshot/gidmapping", "0:2000:65536"],
  ]);
  await sn.prepare(ctx, "k3", "n1", { labels });
  const mapped = fs.statSync(join(root, "snapshots/3/fs"));
  expect([mapped.uid, mapped.gid]).toEqual([1000, 2000]);
});

requiresRoot("a snapshot whose labels map ids is mounted with its layers' files under the mapped owners", async () => {
  await using fixture = await open((options) => openOverlaySnapshotter({ ...options, remapIds: true }));
  const { snapshotter: sn } = fixture;
  fixture.mounted(await sn.prepare(ctx, "k1", ""), (top) => {
    files.write(`${top}/file`, "x");
    fs.chownSync(`${top}/file`, 5, 6);
  });
  await sn.commit(ctx, "n1", "k1");
  const labels = new Map([
    ["containerd.io/snapshot/uidmapping", "0:100000:65536"],
    ["containerd.io/snapshot/gidmapping", "0:200000:65536"],
  ]);
  const mounts = await sn.prepare(ctx, "k2", "n1", { labels });
  expect(mounts[0]?.options.slice(0, 2)).toEqual(["uidmap=0:100000:65536", "gidmap=0:200000:65536"]);
  fixture.mounted(mounts, (root) => {
    const [stats, own] = [fs.statSync(`${root}/file`), fs.statSync(root)];
    expect([stats.uid, stats.gid, own.uid, own.gid]).toEqual([100_005, 200_006, 100_000, 200_000]);
  });
  expect((await sn.view(ctx, "v", "n1", { labels }))[0]?.options).toEqual([
    "uidmap=0:100000:65536",
    "gidmap=0:200000:65536",
    "ro",
    "rbind",
  ]);
});

test("with sync_remove a removal answers when the folder is gone", async () => {
  await using fixture = await open((options) => openOverlaySnapshotter({ ...options, syncRemove: true }));
  const { snapshotter: sn } = fixture;
  await sn.prepare(ctx, "k1", "");
  await sn.remove(ctx, "k1");
  expect(fixture.folders()).toEqual([]);
});

test("start-up removes folders that no snapshot owns, but none that came with a store", async () => {
  await using fixture = await open(openOverlaySnapshotter);
  const folder = (id: number): string => join(fixture.root, "snapshots", String(id), "fs");
  await fixture.snapshotter.prepare(ctx, "k1", "");
  fs.mkdirSync(folder(7), { recursive: true });
  await fixture.reopen();
  await fixture.settle();
  expect(fixture.folders()).toEqual(["1"]);
  await fixture.snapshotter.prepare(ctx, "k2", "");
  expect(fixture.folders()).toEqual(["1", "8"]);
  await using taken = await open(async (options) => {
    fs.mkdirSync(join(options.root, "snapshots", "5", "fs"), { recursive: true });
    return openOverlaySnapshotter(options);
  });
  await taken.settle();
  expect(taken.folders()).toEqual(["5"]);
});

test("start-up makes again what a power cut took from a snapshot that was not written to", async () => {
  await using fixture = await open(openOverlaySnapshotter);
  await fixture.snapshotter.prepare(ctx, "k1", "");
  fs.rmSync(join(fixture.root, "snapshots", "1"), { recursive: true });
  await fixture.reopen();
  expect(fs.readdirSync(join(fixture.root, "snapshots", "1")).sort()).toEqual(["fs", "work"]);
});

test("unknown snapshotters are named as containerd names them", async () => {
  const none = createSnapshotters([]);
  expect(() => none.get("")).toThrow("snapshotter argument missing: invalid argument");
  expect(() => none.get("x")).toThrow("snapshotter not loaded: x: invalid argument");
});
