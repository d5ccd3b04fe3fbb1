import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { readStat, waitForEnd } from "../process/process-handle.ts";

const endTimeoutMs = 5000;

/**
 * Ends the CRIU of a restore whose runtime is gone, found by the folder that it works in.
 * Shape: it goes on without its runtime, and may wait for ever: for what it traces, and what it traces can't end before it.
 * Source: ptrace(2): a tracee is reaped by its tracer first.
 */
export async function endCriu({ kernel, watcher }: Pick<HostParts, "kernel" | "watcher">, work: string): Promise<void> {
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || !isStrayIn(pid, work)) continue;
    const startTime = readStat(pid)?.startTime ?? 0;
    try {
      kernel.kill(pid, 9);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
    await waitForEnd(kernel, watcher, { pid, startTime }, endTimeoutMs);
  }
}

/** A folder that a client named may have another restore's CRIU in it, below its own runtime. */
function isStrayIn(pid: number, work: string): boolean {
  try {
    const folder = readlinkSync(`/proc/${pid}/cwd`);
    if (folder !== work && folder !== `${work} (deleted)`) return false;
    if (!commandLine(pid).includes("criu")) return false;
    const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    return !/\0(?:restore|checkpoint)\0/.test(commandLine(parent));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return false;
    throw error;
  }
}

function commandLine(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8");
}
