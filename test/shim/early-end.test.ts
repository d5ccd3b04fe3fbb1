import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProcesses, waitFor } from "../support/index.ts";
import { canRun, launcher } from "./support.ts";

/** What a folder says of its keeper: 0 before there is one. */
const keeperOf = (file: string): number => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).pid : -1);

// As early as can be: whatever a host does right after it has made its keeper, or means to make one, has not happened yet.
const moments: readonly [signal: "SIGTERM" | "SIGKILL", when: string, keeper: number, code: number][] = [
  ["SIGTERM", "before it has a keeper", 0, 0],
  ["SIGTERM", "with its first keeper", 1, 0],
  ["SIGKILL", "with its first keeper", 1, 128 + 9],
];

// Needs root, busybox and a runtime: a host holds cgroups and mounts.
test.skipIf(!canRun).each(moments)("a host that gets %s %s leaves no process", async (signal, _when, keeper, code) => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-early-"));
  const keeperFile = join(folder, "state/keeper.json");
  const args = ["host", "--socket", join(folder, "host.sock"), "--state", join(folder, "state")];
  const host = Bun.spawn([launcher, ...args, "--log", join(folder, "host.log")], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    for (const until = performance.now() + 20_000; keeperOf(keeperFile) < keeper && performance.now() < until; );
    host.kill(signal);
    expect(await host.exited).toBe(code);
    await waitFor("the keeper's end", async () => (await findProcesses(folder)).length === 0);
  } finally {
    host.kill("SIGKILL");
    await host.exited;
    rmSync(folder, { recursive: true, force: true });
  }
});
