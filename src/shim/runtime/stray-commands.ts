import { readdirSync, readFileSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { readStat, waitForEnd } from "../process/process-handle.ts";
import type { Task } from "../task/task.ts";

const endTimeoutMs = 5000;

/**
 * Ends runtime commands for a task that outlived the host which started them.
 * Shape: `spared` are the container's own processes: until it execs, crun's init has its runtime's command line.
 */
export async function endRuntimeCommands(parts: HostParts, task: Task, spared: ReadonlySet<number>): Promise<void> {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    if (spared.has(pid)) continue;
    const args = commandLine(pid);
    if (!args.includes(task.runtimeRecord.root) || args.at(-1) !== task.id) continue;
    const startTime = readStat(pid)?.startTime ?? 0;
    try {
      parts.kernel.kill(pid, 9);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
    await waitForEnd(parts.kernel, parts.watcher, { pid, startTime }, endTimeoutMs);
  }
}

function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}
