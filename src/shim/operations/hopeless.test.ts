import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFdWatcher, createKernel } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { runHopeless } from "./hopeless.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-hopeless-"));
afterAll(() => rmSync(folder, { recursive: true }));
const kernel = createKernel();
const pidFile = join(folder, "pid");
const program = { name: "/nosuch", cwd: "/", path: [], mounts: [] };

async function hopeless(name: string, run: () => Promise<void>): Promise<boolean> {
  using watcher = createFdWatcher({ kernel, onError: () => {} });
  // Only these of the host's parts are used.
  const parts = { kernel, watcher } as unknown as HostParts;
  return await runHopeless(parts, folder, { ...program, name }, pidFile, run);
}

test("runHopeless() does not run the runtime for a program that may be there", async () => {
  writeFileSync(join(folder, "tool"), "", { mode: 0o755 });
  let ran = false;
  const run = async (): Promise<void> => {
    ran = true;
  };
  expect([await hopeless("/tool", run), ran]).toEqual([false, false]);
});

test("runHopeless() fails as the runtime does", async () => {
  const failing = hopeless("/nosuch", () => Promise.reject(new Error("executable file not found")));
  expect(await failing.catch(String)).toBe("Error: executable file not found");
});

test("runHopeless() ends what ran after all, and says so", async () => {
  let pid = 0;
  const ran = await hopeless("/nosuch", async () => {
    const child = Bun.spawn(["sleep", "1000"], { stdio: ["ignore", "ignore", "ignore"] });
    pid = child.pid;
    writeFileSync(pidFile, String(pid));
  });
  expect([ran, existsSync(pidFile)]).toEqual([true, false]);
  expect(() => kernel.kill(pid, 0)).toThrow("no such process");
});
