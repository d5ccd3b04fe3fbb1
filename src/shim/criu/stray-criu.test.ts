import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFdWatcher, createKernel } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { endCriu } from "./stray-criu.ts";

describe("endCriu", () => {
  let work: string;
  let child: Bun.Subprocess | undefined;
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "lighter-criu-"));
  });
  afterEach(async () => {
    child?.kill("SIGKILL");
    await child?.exited;
    rmSync(work, { recursive: true });
  });

  /** Whether a process in the folder, with these words at the end of its command line, is ended. */
  async function isEnded(words: readonly string[]): Promise<boolean> {
    const made = Bun.spawn(["sh", "-c", "kill -STOP $$", ...words], {
      cwd: work,
      stdio: ["ignore", "ignore", "ignore"],
    });
    child = made;
    // A program's arguments appear a moment after it was started.
    while (readFileSync(`/proc/${made.pid}/cmdline`).length === 0) await Bun.sleep(1);
    const kernel = createKernel();
    using watcher = createFdWatcher({ kernel, onError: () => {} });
    await endCriu({ kernel, watcher } as HostParts, work);
    const isAlive = (): boolean => !/^State:\s*Z/m.test(readFileSync(`/proc/${made.pid}/status`, "utf8"));
    try {
      return !isAlive();
    } catch {
      return true; // gone altogether
    }
  }

  test.each([
    [["criu", "swrk", "3"]],
    [["/lib/ld.so", "--library-path", "/lib", "/usr/sbin/criu", "swrk", "11"]],
    // As its title leaves the rest of a command line.
    [["/lib/ld.so", "--library-path", "/lib", "criu: restore --rpc", "", "", ".", "", ""]],
  ])("ends CRIU whose command line ends with %j", async (words) => {
    expect(await isEnded(words)).toBe(true);
  });

  test.each([
    [["less", "criu.log"]],
    [["criu", "restore", "-D", "criu-images"]],
    [["criu", "check"]],
    [["grep", "criu: restore --rpc of", "restore.log"]],
  ])("leaves alone what else works there: %j", async (words) => {
    expect(await isEnded(words)).toBe(false);
  });
});
