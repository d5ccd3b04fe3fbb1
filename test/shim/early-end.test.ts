import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canRun, eventually, launcher } from "./support.ts";

// Needs root, busybox and a runtime: a host holds cgroups and mounts.
test.skipIf(!canRun)("a host that is told to end while it comes into being takes its keeper with it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-early-"));
  const keeperFile = join(folder, "state/keeper.json");
  const args = ["host", "--socket", join(folder, "host.sock"), "--state", join(folder, "state")];
  const host = Bun.spawn([launcher, ...args, "--log", join(folder, "host.log")], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    // As early as can be: whatever a host does right after it has made its keeper has not happened yet.
    for (const until = performance.now() + 20_000; !existsSync(keeperFile) && performance.now() < until; );
    const keeper: { readonly pid: number } = await eventually(() => JSON.parse(readFileSync(keeperFile, "utf8")));
    host.kill("SIGTERM");
    expect(await host.exited).toBe(0);
    expect(await eventually(() => !existsSync(`/proc/${keeper.pid}`))).toBe(true);
  } finally {
    host.kill("SIGKILL");
    await host.exited;
    rmSync(folder, { recursive: true, force: true });
  }
});
