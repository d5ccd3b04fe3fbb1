import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

  /** A process with the command line of a runtime's command for a task. */
  async function command(script: string): Promise<Bun.Subprocess> {
    const child = Bun.spawn(["sh", "-c", script, "runtime", "--root", folder, "exec", "c1"], { cwd: folder });
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
    await endRuntimeCommands({ kernel, watcher }, { root: folder, id: "c1" }, { spared: numbers, graceMs });
  }

  test("lets one come to its end that makes a process meanwhile, and spares the process", async () => {
    const made = await command("sleep 0.2; echo $$ > pid.new; mv pid.new pid; exec sleep 1000");
    await end(5_000);
    expect(numbers()).toEqual(new Set([made.pid]));
    expect(made.killed || made.signalCode !== null).toBe(false);
  });

  test("ends one at once that is not wanted, and one that takes too long", async () => {
    for (const graceMs of [0, 50]) {
      const stuck = await command("sleep 1000; true");
      await end(graceMs);
      await stuck.exited;
      expect(stuck.signalCode).toBe("SIGKILL");
    }
  });
});
