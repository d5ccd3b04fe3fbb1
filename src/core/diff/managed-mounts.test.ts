import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCtx } from "../../lib/ctx.ts";
import { digestOf } from "../../lib/digest.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { silentLogger } from "../../lib/log.ts";
import { tarOf } from "../../lib/tar/testing.ts";
import { type ContentStore, contentSchema, openContentStore } from "../content/index.ts";
import { failureOf } from "../content/testing.ts";
import { createExchange } from "../events/index.ts";
import { createLeaseManager, leasesSchema } from "../leases/index.ts";
import { openMetadata } from "../metadata/index.ts";
import { createMountManager, type MountManager, type MountSpec, mountsSchema } from "../mounts/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { createDiffer, type Differ, withManagedMounts } from "./index.ts";

const layerType = "application/vnd.oci.image.layer.v1.tar";
const ctx = createCtx({ namespace: "testing" });

describe.skipIf(process.getuid?.() !== 0)("a differ with managed mounts (needs root)", () => {
  let folder: string;
  let life: AsyncDisposableStack;
  let content: ContentStore;
  let manager: MountManager;
  let differ: Differ;

  const mount = (type: string, source: string, options: string[]): MountSpec => ({ type, source, target: "", options });
  /** An overlay whose lower folder has to be mounted first. */
  const mounts = (lower: string): MountSpec[] => [
    mount("bind", join(folder, lower), ["rbind", "ro"]),
    mount("format/overlay", "overlay", [
      "lowerdir={{ mount 0 }}",
      `upperdir=${join(folder, "upper")}`,
      `workdir=${join(folder, "work")}`,
    ]),
  ];
  const store = async (bytes: Uint8Array) => {
    const writer = await content.writer(ctx, { ref: "r" });
    await writer.write(bytes);
    await failureOf(() => writer.commit(ctx, {}));
    return { mediaType: layerType, digest: digestOf(bytes), sizeBytes: bytes.length };
  };
  const left = async (): Promise<unknown> => [await manager.list(ctx, []), readdirSync(join(folder, "t"))];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "lighter-managed-"));
    for (const name of ["lower", "upper", "work"]) mkdirSync(join(folder, name));
    mkdirSync(join(folder, "lower", "d"));
    life = new AsyncDisposableStack();
    const schemas = [namespacesSchema, leasesSchema, contentSchema, mountsSchema];
    const metadata = life.use(openMetadata({ path: join(folder, "meta.db"), schemas }));
    const leases = createLeaseManager({ metadata });
    const exchange = createExchange({ log: silentLogger });
    const root = join(folder, "content");
    content = life.use(await openContentStore({ root, metadata, exchange, leases, log: silentLogger }));
    manager = life.use(createMountManager({ metadata, targets: join(folder, "t"), roots: [], log: silentLogger }));
    differ = withManagedMounts(createDiffer({ content, root: join(folder, "mounts") }), manager);
  });
  afterEach(async () => {
    await life.disposeAsync();
    rmSync(folder, { recursive: true, force: true });
  });

  test("applies to what has to be made first, and leaves none of it", async () => {
    const layer = await store(tarOf([{ name: "d/file", data: "x" }]));
    expect((await differ.apply(ctx, layer, mounts("lower"))).digest).toBe(layer.digest);
    expect(readFileSync(join(folder, "upper/d/file"), "utf8")).toBe("x");
    await using image = differ.forImage?.();
    await image?.apply(ctx, await store(tarOf([{ name: "d/next", data: "y" }])), mounts("lower"));
    expect(readFileSync(join(folder, "upper/d/next"), "utf8")).toBe("y");
    await differ.settle?.(ctx, mounts("lower"), { impliedFolders: ["d"], syncFs: true });
    expect([await left(), differ.takesStream?.(layerType)]).toEqual([[[], []], true]);
  });

  test("says what could not be made, and leaves nothing of it nor of a layer that fails", async () => {
    const layer = await store(tarOf([{ name: "d/file", data: "x" }]));
    expect(await failureText(() => differ.apply(ctx, layer, mounts("none")))).toMatch(
      /^unknown: failed to activate mounts: mount failed .*none .*: no such file or directory$/,
    );
    const bad = await store(new Uint8Array(1024).fill(7));
    expect(await failureText(() => differ.apply(ctx, bad, mounts("lower")))).not.toContain("activate");
    expect([await left(), existsSync(join(folder, "upper/d"))]).toEqual([[[], []], false]);
  });

  test("hands on what needs nothing made", async () => {
    const layer = await store(tarOf([{ name: "file", data: "x" }]));
    await differ.apply(ctx, layer, [mount("bind", join(folder, "upper"), ["rbind", "rw"])]);
    expect(readFileSync(join(folder, "upper/file"), "utf8")).toBe("x");
    const alone = mounts("lower").slice(1);
    expect(await failureText(() => differ.apply(ctx, layer, alone))).not.toContain("activate");
  });
});
