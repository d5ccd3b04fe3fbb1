import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../lib/log.ts";
import { type CgroupMounts, readCgroupMounts, seenCgroup } from "./locate.ts";
import { MoveLock } from "./move-lock.ts";

const mounts: CgroupMounts = {
  v1: new Map([
    ["cpu", { folder: "/cg/cpu", root: "/" }],
    ["cpuacct", { folder: "/cg/cpu", root: "/" }],
    ["name=systemd", { folder: "/cg/systemd", root: "/" }],
  ]),
  v2: { folder: "/cg/unified", root: "/" },
};
const onlyV1: CgroupMounts = { v1: mounts.v1, v2: undefined };
const inside: CgroupMounts = { v1: new Map(), v2: { folder: "/cg", root: "/docker/1" } };

describe("seenCgroup", () => {
  test.each<[string, string, CgroupMounts, string | undefined]>([
    ["a v2 cgroup", "0::/a/b", mounts, "/cg/unified/a/b"],
    ["everybody's", "0::/", mounts, "/cg/unified"],
    ["v2 before v1", "3:cpu,cpuacct:/x\n0::/a", mounts, "/cg/unified/a"],
    ["a v1 cgroup", "3:cpu,cpuacct:/x\n0::/a", onlyV1, "/cg/cpu/x"],
    ["a named hierarchy", "9:name=systemd:/s\n0::/a", onlyV1, "/cg/systemd/s"],
    ["the one that is mounted", "0::/docker/1", inside, "/cg"],
    ["one below it", "0::/docker/1/x", inside, "/cg/x"],
    ["none that is elsewhere", "0::/docker/2", inside, undefined],
    ["none without mounts", "3:cpu:/x\n0::/a", { v1: new Map(), v2: undefined }, undefined],
    ["none where there are no cgroups", "", mounts, undefined],
  ])("finds %s", (_what, text, seen, want) => {
    expect(seenCgroup(text, seen)).toBe(want as string);
  });
});

describe("MoveLock.expect", () => {
  /** A lock whose writes wait for an answer, on a clock that stands still. */
  function open(answer: () => Promise<void>) {
    const own = seenCgroup(readFileSync("/proc/self/cgroup", "utf8"), readCgroupMounts()) ?? "";
    const writes: (readonly [string, string])[] = [];
    const clock = { now: 1000 };
    const lock = new MoveLock({
      mounts: readCgroupMounts(),
      log: silentLogger,
      now: () => clock.now,
      write: (path, text) => {
        writes.push([path, text]);
        return answer();
      },
    });
    return { lock, writes, clock, wanted: [join(own, "cgroup.procs"), String(process.pid)] as const };
  }

  test("writes this process to the cgroup in which it is, once at a time, and not again at once", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { lock, writes, clock, wanted } = open(() => promise);
    for (let again = 0; again < 3; again++) lock.expect();
    await eventually(() => writes.length > 0);
    lock.expect();
    resolve();
    await settled();
    lock.expect();
    expect(writes).toEqual([wanted]);
    clock.now += 5;
    await eventually(() => {
      lock.expect();
      return writes.length > 1;
    });
    expect(writes).toEqual([wanted, wanted]);
  });

  test("leaves a kernel that refuses alone for a while", async () => {
    const { lock, writes, clock } = open(() => Promise.reject(new Error("EROFS: read-only file system")));
    lock.expect();
    await eventually(() => writes.length > 0);
    await settled();
    clock.now += 30_000;
    lock.expect();
    await settled();
    expect(writes).toHaveLength(1);
    clock.now += 60_000;
    lock.expect();
    await eventually(() => writes.length > 1);
  });

  test("makes no file where there is none", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lighter-move-"));
    const lines = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n");
    const path = /^0::(.*)$/.exec(lines.at(-1) ?? "")?.[1] ?? "/";
    mkdirSync(join(folder, path), { recursive: true });
    const seen = { v1: new Map(), v2: { folder, root: "/" } };
    const refusals: string[] = [];
    const log = { ...silentLogger, debug: (text: string) => void refusals.push(text) };
    new MoveLock({ mounts: seen, log }).expect();
    await eventually(() => refusals.length === 1);
    const procs = join(folder, path, "cgroup.procs");
    expect(await Bun.file(procs).exists()).toBe(false);
    writeFileSync(procs, "");
    new MoveLock({ mounts: seen, log }).expect();
    await eventually(() => readFileSync(procs, "utf8") === String(process.pid));
    rmSync(folder, { recursive: true });
  });

  // Root alone may write to cgroup.procs of the cgroup it is in.
  test.skipIf(process.getuid?.() !== 0)("moves nothing", async () => {
    const before = readFileSync("/proc/self/cgroup", "utf8");
    const lock = new MoveLock({ mounts: readCgroupMounts(), log: silentLogger });
    for (let again = 0; again < 5; again++) {
      lock.expect();
      await Bun.sleep(5);
    }
    expect(readFileSync("/proc/self/cgroup", "utf8")).toBe(before);
  });
});

/** Everything that follows an answer has been done. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

async function eventually(what: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!what()) {
    if (performance.now() > deadline) throw new Error("it never held");
    await Bun.sleep(1);
  }
}
