import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../lib/log.ts";
import { createFdWatcher, createKernel } from "../../sys/index.ts";
import { endRuntimeCommands } from "./stray-commands.ts";

describe("endRuntimeCommands", () => {
  let folder: string;
  let children: Bun.Subprocess[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "lighter-stray-"));
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    for (const child of children) await child.exited;
    rmSync(folder, { recursive: true });
  });

  /** A process with the command line of a runtime's command for a task; nothing of it holds the test's own streams. */
  async function command(script: string): Promise<Bun.Subprocess> {
    const args = ["sh", "-c", script, "runtime", "--root", folder, "exec", "c1"];
    const child = Bun.spawn(args, { cwd: folder, stdio: ["ignore", "ignore", "ignore"] });
    children.push(child);
    // A program's arguments appear a moment after it was started.
    while (readFileSync(`/proc/${child.pid}/cmdline`).length === 0) await Bun.sleep(1);
    return child;
  }
  const numbers = (): Set<number> => {
    const file = join(folder, "pid");
    return new Set(existsSync(file) ? [Number(readFileSync(file, "utf8"))] : []);
  };
  async function end(graceMs: number): Promise<void> {
    const kernel = createKernel();
    using watcher = createFdWatcher({ kernel, onError: () => {} });
    const options = { spared: numbers, deadline: performance.now() + graceMs };
    await endRuntimeCommands({ kernel, watcher, log: silentLogger }, { root: folder, id: "c1" }, options);
  }
  const lives = (child: Bun.Subprocess): boolean => child.exitCode === null && child.signalCode === null;

  test("lets one go on until it wrote the number of what it made, which is spared", async () => {
    const made = await command("sleep 0.2; echo $$ > pid.new; mv pid.new pid; kill -STOP $$");
    await end(10_000);
    expect(numbers()).toEqual(new Set([made.pid]));
    expect(lives(made)).toBe(true);
  });

  test("knows a runtime's child no more once it is another program", async () => {
    const made = await command("sleep 0.2; exec sleep 1000");
    await end(10_000);
    expect(lives(made)).toBe(true);
  });

  test("waits no longer than a command takes", async () => {
    const short = await command("sleep 0.1; exit 3");
    await end(10_000);
    await short.exited;
    expect(short.exitCode).toBe(3);
  });

  test.each([0, 50])("ends one that is not done after %i ms", async (graceMs) => {
    const stuck = await command("kill -STOP $$");
    await end(graceMs);
    await stuck.exited;
    expect(stuck.signalCode).toBe("SIGKILL");
  });
});
