import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { canRun, HostFixture, runtimes } from "./support.ts";

// Needs root, busybox and a runtime: a host holds cgroups and mounts.
test.skipIf(!canRun)("a fixture whose host is dead leaves no process, no cgroup and no keeper", async () => {
  const h = await HostFixture.start();
  const [runtime = ""] = runtimes;
  const made = { id: "left", ...h.bundle("left", { args: ["sleep", "1000"] }), options: h.options(runtime) };
  const { pid } = await h.tasks.create(made);
  await h.tasks.start({ id: "left" });
  const keeper: { pid: number } = JSON.parse(readFileSync(join(h.state, "keeper.json"), "utf8"));
  await h.killHost();
  await h[Symbol.asyncDispose]();
  expect([pid, keeper.pid].filter((one) => isAlive(one))).toEqual([]);
  const cgroups = ["", ...readdirSync("/sys/fs/cgroup")].map((name) => join("/sys/fs/cgroup", name, h.namespace));
  expect(cgroups.filter(existsSync)).toEqual([]);
  expect(existsSync(h.folder)).toBe(false);
});

function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // No such process.
    return false;
  }
}
