import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../lib/log.ts";
import { createKernel, mountAll, unmountAll } from "../../sys/index.ts";
import { testAsRoot } from "../../sys/testing.ts";
import { DepartingRoots, upperOf } from "./departing-roots.ts";

const kernel = createKernel();

/** A root of the built-in snapshotter's. */
class Bed implements Disposable {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "departing-roots-")));
  readonly rootfs = join(this.folder, "rootfs");
  readonly upper = join(this.folder, "io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs");
  readonly roots = new DepartingRoots({
    kernel,
    log: createLogger({ level: "warn", format: "text", write: (line) => void this.lines.push(line) }),
  });
  readonly lines: string[] = [];
  readonly #before = detachedRoots();

  constructor() {
    for (const path of [this.rootfs, this.upper, join(this.folder, "lower"), join(this.upper, "../work")])
      mkdirSync(path, { recursive: true });
  }

  get mounts(): { type: string; source: string; target: string; options: string[] }[] {
    const { folder, upper } = this;
    const options = [`workdir=${join(upper, "../work")}`, `upperdir=${upper}`, `lowerdir=${folder}/lower`];
    return [{ type: "overlay", source: "overlay", target: "", options }];
  }

  /** Descriptors of this process on roots of mounts that are nowhere any more, but those of before. */
  held(): string[] {
    return detachedRoots().filter((fd) => !this.#before.includes(fd));
  }

  [Symbol.dispose](): void {
    if (process.getuid?.() === 0) unmountAll(kernel, this.rootfs);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const detachedRoots = (): string[] => readdirSync("/proc/self/fd").filter((fd) => linkOf(fd) === "/");

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // That of the folder itself, closed by now.
    return "";
  }
}

describe("DepartingRoots", () => {
  testAsRoot("a root is out of sight at once, and gone when that is waited for", async () => {
    using bed = new Bed();
    mountAll(kernel, bed.mounts, bed.rootfs);
    writeFileSync(join(bed.rootfs, "file"), "");
    const root = bed.roots.detach(bed.rootfs, bed.upper);
    expect(readdirSync(bed.rootfs)).toEqual([]);
    expect(bed.held().length).toBe(1);
    root[Symbol.dispose]();
    await bed.roots.gone(bed.upper);
    expect(bed.held()).toEqual([]);
    expect(readdirSync(bed.upper)).toEqual(["file"]);
    expect(bed.lines).toEqual([]);
  });

  testAsRoot("the next root of the same folder has it for itself, however often", async () => {
    using bed = new Bed();
    // With an index the kernel refuses a folder that another overlay has.
    const mounts = bed.mounts.map((mount) => ({ ...mount, options: [...mount.options, "index=on"] }));
    for (let life = 0; life < 20; life++) {
      await bed.roots.gone(bed.upper);
      mountAll(kernel, mounts, bed.rootfs);
      using _root = bed.roots.detach(bed.rootfs, bed.upper);
    }
    await bed.roots.gone(bed.upper);
  });

  testAsRoot("one that is busy, or stacked, is out of sight as well", async () => {
    using bed = new Bed();
    mountAll(kernel, bed.mounts, bed.rootfs);
    mountAll(kernel, [{ type: "tmpfs", source: "tmpfs", target: "", options: [] }], bed.rootfs);
    writeFileSync(join(bed.rootfs, "busy"), "");
    const busy = kernel.open(join(bed.rootfs, "busy"), 0);
    bed.roots.detach(bed.rootfs, bed.upper)[Symbol.dispose]();
    expect(readdirSync(bed.rootfs)).toEqual([]);
    await bed.roots.gone(bed.upper);
    kernel.close(busy);
    expect(bed.held()).toEqual([]);
  });

  testAsRoot("where nothing is mounted, or no folder is, there is nothing to do", async () => {
    using bed = new Bed();
    bed.roots.detach(bed.rootfs, bed.upper)[Symbol.dispose]();
    bed.roots.detach(join(bed.folder, "missing"), bed.upper)[Symbol.dispose]();
    await bed.roots.gone(bed.upper);
    expect(bed.held()).toEqual([]);
  });
});

describe("upperOf", () => {
  const folder = "/var/lib/lighter/io.containerd.snapshotter.v1.overlayfs/snapshots";
  const overlay = (...options: string[]): Parameters<typeof upperOf>[0] => [
    { type: "overlay", source: "overlay", target: "", options },
  ];
  test.each([
    ["the built-in overlay", overlay(`workdir=${folder}/9/work`, `upperdir=${folder}/9/fs`), `${folder}/9/fs`],
    ["another's overlay", overlay("upperdir=/var/lib/stargz/snapshotter/snapshots/9/fs"), undefined],
    ["a view", overlay(`lowerdir=${folder}/8/fs:${folder}/7/fs`), undefined],
    ["mapped ids", overlay("uidmap=0:100000:65536", `upperdir=${folder}/9/fs`), undefined],
    ["a bind mount", [{ type: "bind", source: `${folder}/9/fs`, target: "", options: ["rw", "rbind"] }], undefined],
    ["two mounts", [...overlay(`upperdir=${folder}/9/fs`), ...overlay(`upperdir=${folder}/9/fs`)], undefined],
    ["no mount", [], undefined],
  ] as const)("%s", (_name, mounts, upper) => {
    expect(upperOf(mounts)).toBe(upper as string);
  });
});
