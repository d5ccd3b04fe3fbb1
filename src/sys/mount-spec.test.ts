import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
    expect(parseMountOptions(options)).toEqual({ flags, propagation, data });
  });

  test.each([["loop"], ["uidmap=0:1:2"], ["X-containerd.mkfs"]])("refuses %s", (option) => {
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
});
