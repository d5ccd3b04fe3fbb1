import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { daemonSchemas } from "../../daemon/index.ts";
import { boltTree } from "../../lib/bolt/testing.ts";
import { createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { Instant } from "../../lib/instant.ts";
import { silentLogger } from "../../lib/log.ts";
import { createKernel, lockKinds, openFlags } from "../../sys/index.ts";
import { createContainerStore } from "../containers/index.ts";
import { createExchange } from "../events/index.ts";
import { createImageStore } from "../images/index.ts";
import { createLeaseManager } from "../leases/index.ts";
import { type Metadata, openMetadata } from "../metadata/index.ts";
import { createNamespaceStore } from "../namespaces/index.ts";
import { createSandboxStore } from "../sandbox/index.ts";
import { planLines, planOf, type TakeoverMode, takeOver } from "./index.ts";
import { missingBlob, oldBlob, oldMessage, oldMoment, writeOldRoot } from "./testing.ts";

const kernel = createKernel();
let folder: string;
let root: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-takeover-"));
  root = join(folder, "root");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const metadataPath = (name: string): string => join(root, "io.containerd.metadata.v1.bolt", name);
const ctx = createCtx({ namespace: "default" });
const given = () => ({
  root,
  state: join(folder, "state"),
  snapshotterRoots: new Map<string, string>(),
  searchPath: process.env["PATH"] ?? "",
  schemas: daemonSchemas,
  kernel,
  log: silentLogger,
  now: () => "2026-01-02T03:04:05.678Z",
});

/** Takes over and lets go; answers whether anything was done. */
async function takeOverOnce(mode: TakeoverMode = "auto"): Promise<boolean> {
  using taken = await takeOver({ ...given(), mode });
  return taken.plan !== undefined;
}

async function withMetadata<T>(use: (metadata: Metadata) => T): Promise<T> {
  await using metadata = openMetadata({ path: metadataPath("meta.sqlite"), schemas: daemonSchemas });
  return use(metadata);
}

const rows = (table: string): Promise<Record<string, unknown>[]> =>
  withMetadata((metadata) =>
    metadata.read((db) => db.query<Record<string, unknown>, []>(`SELECT * FROM ${table}`).all()),
  );

describe("takeOver", () => {
  test("brings records over as they were", async () => {
    writeOldRoot(root);
    expect(await takeOverOnce()).toBe(true);
    await withMetadata((metadata) => {
      const exchange = createExchange({ log: silentLogger });
      const leases = createLeaseManager({ metadata });
      const namespaces = createNamespaceStore({ metadata, exchange });
      expect(namespaces.list().map(({ name }) => name)).toEqual(["default", "moby"]);
      expect(namespaces.labels("default")).toEqual(new Map([["team", "harbour"]]));
      const image = createImageStore({ metadata, exchange, leases }).get(ctx, "docker.io/library/busybox:1");
      expect(image.target?.digest).toBe(oldBlob);
      expect(image.target?.size).toBe(6n);
      expect(image.target?.annotations).toEqual({ b: "2" });
      expect(image.labels).toEqual({ a: "1" });
      expect(image.createdAt).toEqual(Instant.of(oldMoment).toTimestamp());
      const container = createContainerStore({ metadata, exchange }).get(ctx, "c1");
      expect(container).toMatchObject({
        snapshotter: "overlayfs",
        snapshotKey: "work",
        sandbox: "new",
        labels: { role: "tug" },
      });
      expect(container.runtime?.name).toBe("io.containerd.runc.v2");
      for (const any of [container.spec, container.runtime?.options, container.extensions["extra"]])
        expect(any && toBinary(AnySchema, any)).toEqual(toBinary(AnySchema, oldMessage));
      const sandboxes = createSandboxStore({ metadata }).list(ctx, []);
      expect(sandboxes.map(({ sandboxId, sandboxer }) => [sandboxId, sandboxer])).toEqual([
        ["new", "shim"],
        ["old", "shim"],
      ]);
      expect(leases.list(ctx, [])).toEqual([
        { id: "held", createdAt: Instant.of(oldMoment), labels: new Map([["why", "test"]]) },
      ]);
      expect(leases.listResources(ctx, "held").map(({ type, id }) => `${type} ${id}`)).toEqual([
        `content ${oldBlob}`,
        "images docker.io/library/busybox:1",
        "ingests upload",
        "snapshots/overlayfs base",
      ]);
    });
  });

  test("leaves blobs and snapshots where they are, with their numbers", async () => {
    writeOldRoot(root);
    await takeOverOnce();
    expect(await rows("content_blobs")).toMatchObject([{ digest: oldBlob, size: 6 }]);
    expect(await rows("content_ingests")).toMatchObject([{ ref: "upload", backend_ref: "default/1/upload" }]);
    expect(await rows("snapshots")).toMatchObject([
      { snapshotter: "overlayfs", id: 1, name: "base", kind: "committed", parent: null, inodes: 7, size: 4096 },
      { snapshotter: "overlayfs", id: 2, name: "work", kind: "active", parent: 1, labels: '{"of":"default/2/work"}' },
    ]);
    // Beyond all that containerd gave or will give before its first clean-up.
    expect(await rows("snapshot_origins")).toEqual([{ snapshotter: "overlayfs", first_id: 10_003 }]);
  });

  test("says what stays behind", async () => {
    writeOldRoot(root, { more: { berths: boltTree({}) } });
    const plan = await planOf(given());
    expect(plan.notes.toSorted()).toEqual([
      `blobs have no file and stay behind (1): "${missingBlob}"`,
      'collections of records are of a sort that is not known (1): "berths"',
      'snapshots of overlayfs are not whole in its own database and stay behind (1): "orphan"',
      'snapshots of the snapshotter "devmapper", which is not lighter\'s own, stay behind (1): "thin"',
    ]);
    expect(planLines(plan).join("\n")).toContain(
      "default         1           1          2      1        1          2       1",
    );
    expect(existsSync(metadataPath("meta.sqlite"))).toBe(false);
  });

  test("changes nothing of containerd's, and happens once", async () => {
    writeOldRoot(root);
    const before = readFileSync(metadataPath("meta.db"));
    const { mtimeMs } = statSync(metadataPath("meta.db"));
    expect(await takeOverOnce()).toBe(true);
    expect(await takeOverOnce()).toBe(false);
    expect(await takeOverOnce("again")).toBe(false);
    expect(readFileSync(metadataPath("meta.db"))).toEqual(before);
    expect(statSync(metadataPath("meta.db")).mtimeMs).toBe(mtimeMs);
    expect(readdirSync(metadataPath("")).toSorted()).toEqual(["meta.db", "meta.sqlite", "takeover.json"]);
  });

  test("refuses while a containerd holds its database, and keeps one from starting", async () => {
    writeOldRoot(root);
    const fd = kernel.open(metadataPath("meta.db"), openFlags.readWrite, 0);
    kernel.tryLock(fd, lockKinds.exclusive);
    expect(await failureText(() => takeOverOnce())).toMatch(/meta\.db is in use by .*pid \d+; stop it first/);
    expect(await failureText(() => planOf(given()))).toMatch(/is in use by/);
    expect(existsSync(metadataPath("meta.sqlite"))).toBe(false);
    kernel.tryLock(fd, lockKinds.unlock);
    {
      using _taken = await takeOver({ ...given(), mode: "auto" });
      expect(kernel.tryLock(fd, lockKinds.exclusive)).toBe(false);
    }
    expect(kernel.tryLock(fd, lockKinds.exclusive)).toBe(true);
    kernel.close(fd);
  });

  test("refuses when containerd ran in between, unless it is asked for; then ours are kept aside", async () => {
    writeOldRoot(root);
    await takeOverOnce();
    rmSync(metadataPath("meta.db"));
    writeOldRoot(root, { transaction: 9n, leases: 1 });
    expect(await failureText(() => takeOverOnce())).toMatch(
      /containerd has run since 2026-01-02T03:04:05.678Z.*--takeover takes/,
    );
    expect(await takeOverOnce("never")).toBe(false);
    expect(await rows("leases")).toHaveLength(1);
    expect(await takeOverOnce("again")).toBe(true);
    expect(await rows("leases")).toHaveLength(2);
    expect(readdirSync(metadataPath("")).toSorted()).toEqual([
      "meta.db",
      "meta.sqlite",
      "meta.sqlite.2026-01-02T030405.678Z",
      "takeover.json",
    ]);
    expect(await takeOverOnce()).toBe(false);
  });

  test("leaves records that lighter made by itself alone, unless it is asked for", async () => {
    writeOldRoot(root);
    await withMetadata(() => undefined);
    expect(await takeOverOnce()).toBe(false);
    expect(await rows("leases")).toEqual([]);
    expect(await takeOverOnce("again")).toBe(true);
    expect(await rows("leases")).toHaveLength(1);
  });

  test("changes nothing when a database is damaged, and says where", async () => {
    writeOldRoot(root, { more: { leases: boltTree({ broken: boltTree({ createdat: "short" }) }) } });
    expect(await failureText(() => takeOverOnce())).toMatch(
      /take over .*: lease "broken" of namespace "default": a time cannot be read/,
    );
    writeFileSync(metadataPath("meta.db"), "not a database");
    expect(await failureText(() => takeOverOnce())).toMatch(/meta\.db is damaged/);
    expect(readdirSync(metadataPath(""))).toEqual(["meta.db"]);
  });

  test("has nothing to do where no containerd was, and says so when it is asked for", async () => {
    mkdirSync(root);
    expect(await takeOverOnce()).toBe(false);
    expect(await failureText(() => takeOverOnce("again"))).toMatch(/there is nothing to take over/);
  });

  test("lets others have their turn: no stretch of the work is long", async () => {
    writeOldRoot(root, { leases: 3000 });
    let turns = 0;
    let going = true;
    const count = (): void => {
      turns += 1;
      if (going) setImmediate(count);
    };
    setImmediate(count);
    await takeOverOnce();
    going = false;
    expect(await rows("leases")).toHaveLength(3001);
    expect(turns).toBeGreaterThan(50);
  });
});
