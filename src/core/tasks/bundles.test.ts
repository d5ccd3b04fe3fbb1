import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { silentLogger } from "../../lib/log.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import { type Bundles, createBundles } from "./bundles.ts";
import { failure } from "./test-daemon.ts";

const spec = anyOfJson(ociTypeUrls.spec, {});

async function fresh(
  unmountTree: (path: string) => void = () => {},
): Promise<Bundles & AsyncDisposable & { state: string }> {
  const state = await mkdtemp("/tmp/lighter-bundles-");
  const bundles = createBundles({ state, unmountTree, log: silentLogger });
  const dispose = async (): Promise<void> => {
    await bundles.idle();
    await rm(state, { recursive: true, force: true });
  };
  return Object.assign(bundles, { state, [Symbol.asyncDispose]: dispose });
}

describe("Bundles", () => {
  test("are found again, and hidden leftovers are cleared away on the way", async () => {
    await using bundles = await fresh();
    const { path } = await bundles.create("default", "c1", spec);
    await Bun.write(join(path, "../.old.1.1/config.json"), "{}");
    expect(await bundles.scan()).toEqual([{ namespace: "default", id: "c1", path }]);
    await bundles.idle();
    expect(existsSync(join(path, "../.old.1.1"))).toBe(false);
  });

  test("tell whether a process was made in them", async () => {
    await using bundles = await fresh();
    const bundle = await bundles.create("default", "c1", spec);
    await Bun.write(join(bundle.path, "log.json"), "");
    expect(await bundles.inhabited(bundle)).toBe(false);
    await Bun.write(join(bundle.path, "init.pid"), "1");
    expect(await bundles.inhabited(bundle)).toBe(true);
  });

  test("lose nothing of what is in a root that was not unmounted", async () => {
    await using bundles = await fresh();
    const bundle = await bundles.create("default", "c1", spec);
    await Bun.write(join(bundle.path, "rootfs/precious"), "layer");
    await bundles.remove(bundle);
    await bundles.idle();
    const [hidden = ""] = [...new Bun.Glob("**/precious").scanSync({ cwd: bundles.state, dot: true })];
    expect(await Bun.file(join(bundles.state, hidden)).text()).toBe("layer");
    await bundles.create("default", "c1", spec);
  });

  test("come in place of one that was left behind", async () => {
    await using bundles = await fresh();
    await Bun.write(join((await bundles.create("default", "c1", spec)).path, "old"), "");
    const { path } = await bundles.create("default", "c1", spec);
    expect(existsSync(join(path, "old"))).toBe(false);
  });

  test("are refused for names that are no names, and for specs that are no specs", async () => {
    await using bundles = await fresh();
    for (const id of ["", "..", "a/b", "x".repeat(77)]) {
      expect(await failure(bundles.create("default", id, spec))).toContain("invalid task id");
    }
    const broken = { ...spec, value: Buffer.from('{"gidMappings": oops') };
    expect(await failure(bundles.create("default", "c1", broken))).toContain("decode the container's spec");
    expect(existsSync(bundles.path("default", "c1"))).toBe(false);
  });
});
