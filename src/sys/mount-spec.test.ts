import { afterAll, describe, expect, test } from "bun:test";
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKernel, mountAll, mountFlags, mountRequest, parseMountOptions, unmountAll } from "./index.ts";
import { compactLowerDirs } from "./mount-spec.ts";
import { createFakeKernel } from "./testing.ts";

const requiresRoot = test.skipIf(process.getuid?.() !== 0);
const folder = mkdtempSync(join(tmpdir(), "lighter-mounts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("parseMountOptions", () => {
  test.each([
    [["rbind", "ro"], mountFlags.bind | mountFlags.recursive | mountFlags.readOnly, 0, []],
    [["ro", "rw", "defaults"], 0, 0, []],
    [["nosuid", "size=1m", "rslave"], mountFlags.noSuid, mountFlags.slave | mountFlags.recursive, ["size=1m"]],
    [["nosuid", "suid", "index=off"], 0, 0, ["index=off"]],
  ])("%p", (options, flags, propagation, data) => {
    expect(parseMountOptions(options)).toEqual({ flags, propagation, data, idMap: undefined, loop: false });
  });

  test("takes loop and whole mappings out of the data", () => {
    const options = ["loop", "uidmap=0:1:2", "gidmap=0:3:4", "x=y"];
    expect(parseMountOptions(options)).toMatchObject({
      loop: true,
      idMap: { uids: "0:1:2", gids: "0:3:4" },
      data: ["x=y"],
    });
    expect(parseMountOptions(["uidmap=0:1:2"])).toMatchObject({ idMap: undefined, data: [] });
  });

  test.each([["X-containerd.mkfs"]])("refuses %s", (option) => {
    expect(() => parseMountOptions([option])).toThrow(option);
  });
});

describe("mountRequest", () => {
  test("a read-only bind is mounted, then remounted", () => {
    const kernel = createFakeKernel();
    mountRequest(kernel, { type: "bind", source: "/a", target: "", options: ["rbind", "ro"] }, "/t");
    const flags = mountFlags.bind | mountFlags.recursive | mountFlags.readOnly;
    expect(kernel.calls.map((call) => call.args)).toEqual([
      ["/a", "/t", "bind", flags, ""],
      ["", "/t", "", flags | mountFlags.remount, ""],
    ]);
  });

  test("a failure in a list unmounts what came before it", () => {
    const kernel = createFakeKernel({ unmount: () => undefined });
    const one = { type: "tmpfs", source: "t", target: "", options: [] };
    const seen: string[] = [];
    const flaky = {
      ...kernel,
      mount: () => {
        if (seen.push("mount") === 2) throw new Error("no");
      },
      unmount: () => {
        seen.push("unmount");
        throw Object.assign(new Error(), { code: "EINVAL" });
      },
    };
    expect(() => mountAll(flaky, [one, one], "/t")).toThrow("failed to mount rootfs component: no");
    expect(seen).toEqual(["mount", "mount", "unmount"]);
  });

  test("options of many layers shrink under a page", () => {
    const lower = Array.from(
      { length: 120 },
      (_, n) => `/var/lib/lighter/io.containerd.snapshotter.v1.overlayfs/snapshots/${n}/fs`,
    );
    const compact = compactLowerDirs(["workdir=/w", "upperdir=/u", `lowerdir=${lower.join(":")}`]);
    expect(compact?.folder).toBe("/var/lib/lighter/io.containerd.snapshotter.v1.overlayfs/snapshots/");
    expect(compact?.options.at(-1)?.startsWith("lowerdir=0/fs:1/fs:2/fs")).toBe(true);
    expect(compactLowerDirs(["lowerdir=/a:/b"])).toBeUndefined();
  });

  requiresRoot("an overlay of 120 layers really mounts and unmounts", () => {
    const base = join(folder, "a-rather-long-folder-name-so-that-the-options-outgrow-a-page");
    const lower: string[] = [];
    for (let n = 0; n < 120; n++) {
      lower.push(join(base, `${n}`, "fs"));
      mkdirSync(lower[n] as string, { recursive: true });
      writeFileSync(join(lower[n] as string, `f${n}`), String(n));
    }
    for (const name of ["u", "w", "m"]) mkdirSync(join(folder, name));
    const kernel = createKernel();
    const options = [`workdir=${folder}/w`, `upperdir=${folder}/u`, `lowerdir=${lower.join(":")}`];
    const cwd = process.cwd();
    mountAll(kernel, [{ type: "overlay", source: "overlay", target: "", options }], join(folder, "m"));
    expect(readFileSync(join(folder, "m/f119"), "utf8")).toBe("119");
    unmountAll(kernel, join(folder, "m"));
    unmountAll(kernel, join(folder, "m"));
    expect(process.cwd()).toBe(cwd);
  });

  requiresRoot("a mapping shows files under other owners, in a bind mount and in an overlay", () => {
    const kernel = createKernel();
    const maps = ["uidmap=0:100000:65536", "gidmap=0:200000:65536"];
    for (const name of ["map/1/fs", "map/2/fs", "map/3/fs", "map/3/work", "map/bind", "map/overlay"]) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    writeFileSync(join(folder, "map/1/fs/one"), "1");
    chownSync(join(folder, "map/1/fs/one"), 7, 8);
    const ownersOf = (path: string): number[] => [statSync(path).uid, statSync(path).gid];
    const bind = { type: "bind", source: join(folder, "map/1/fs"), target: "", options: [...maps, "rw", "rbind"] };
    mountAll(kernel, [bind], join(folder, "map/bind"));
    expect(ownersOf(join(folder, "map/bind/one"))).toEqual([100_007, 200_008]);
    unmountAll(kernel, join(folder, "map/bind"));
    const at = (name: string): string => join(folder, "map", name);
    const folders = [`workdir=${at("3/work")}`, `upperdir=${at("3/fs")}`, `lowerdir=${at("2/fs")}:${at("1/fs")}`];
    mountAll(
      kernel,
      [{ type: "overlay", source: "overlay", target: "", options: [...maps, ...folders] }],
      at("overlay"),
    );
    expect(ownersOf(at("overlay/one"))).toEqual([100_007, 200_008]);
    unmountAll(kernel, at("overlay"));
    expect(ownersOf(at("1/fs/one"))).toEqual([7, 8]);
  });

  requiresRoot("a file is mounted through a loop device, which goes with the mount", () => {
    const kernel = createKernel();
    const image = join(folder, "image");
    writeFileSync(image, "");
    truncateSync(image, 4 << 20);
    const made = Bun.spawnSync(["mkfs.ext4", "-q", "-F", image]);
    if (made.exitCode !== 0) throw new Error(made.stderr.toString());
    mkdirSync(join(folder, "loop"));
    mountAll(kernel, [{ type: "ext4", source: image, target: "", options: ["ro", "loop"] }], join(folder, "loop"));
    expect(readdirSync(join(folder, "loop"))).toEqual(["lost+found"]);
    unmountAll(kernel, join(folder, "loop"));
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(join(folder, "loop"));
  });
});
