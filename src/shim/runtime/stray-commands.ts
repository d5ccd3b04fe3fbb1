import { readdirSync, readFileSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { readStat, waitForEnd } from "../process/process-handle.ts";

const endTimeoutMs = 5000;
const pollMs = 10;

export interface StrayOptions {
  /** The container's own processes, asked for again and again: until it execs, crun's child has its runtime's command line. */
  readonly spared: () => ReadonlySet<number>;
  /** How long they may go on, for what they are about to make is wanted. */
  readonly graceMs: number;
}

/**
 * Waits for runtime commands of a container that outlived the host which started them, and ends those that take too long.
 * Shape: one that is killed while it makes a process may kill it as well, after the process was told of.
 */
export async function endRuntimeCommands(
  parts: Pick<HostParts, "kernel" | "watcher">,
  container: { readonly root: string; readonly id: string },
  { spared, graceMs }: StrayOptions,
): Promise<void> {
  const deadline = performance.now() + graceMs;
  while (performance.now() < deadline && findCommands(container, spared).length > 0) await Bun.sleep(pollMs);
  for (const pid of findCommands(container, spared)) {
    const startTime = readStat(pid)?.startTime ?? 0;
    try {
      parts.kernel.kill(pid, 9);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
    await waitForEnd(parts.kernel, parts.watcher, { pid, startTime }, endTimeoutMs);
  }
}

function findCommands({ root, id }: { root: string; id: string }, spared: StrayOptions["spared"]): readonly number[] {
  const found = readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    const args = commandLine(name);
    return args.at(-1) === id && args.includes(root);
  });
  // Afterwards: one that was found may have written its number by now.
  const own = found.length === 0 ? new Set() : spared();
  return found.map(Number).filter((pid) => !own.has(pid));
}

function commandLine(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}
