import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { isErrno } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { readStat } from "../process/process-handle.ts";
import { endProcess } from "../task/leftovers.ts";

const endTimeoutMs = 5000;

/**
 * Ends the CRIU of a restore whose runtime is gone, found by the folder that it works in.
 * Shape: it goes on without its runtime, and may wait for ever: for what it traces, and what it traces can't end before it.
 * Source: ptrace(2): a tracee is reaped by its tracer first.
 */
export async function endCriu(parts: HostParts, work: string): Promise<void> {
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    // Asked for first: a process that takes its number after this look is another one.
    const startTime = readStat(pid)?.startTime;
    if (startTime === undefined || !isStrayIn(pid, work)) continue;
    await endProcess(parts, { pid, startTime }, endTimeoutMs);
  }
}

/** A folder that a client named may have another restore's CRIU in it, below its own runtime. */
function isStrayIn(pid: number, work: string): boolean {
  try {
    const folder = readlinkSync(`/proc/${pid}/cwd`);
    if (folder !== work && folder !== `${work} (deleted)`) return false;
    if (!isRestoringCriu(commandLine(pid))) return false;
    const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    return !isRuntimeCommand(parent);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return false;
    throw error;
  }
}

/**
 * CRIU as a runtime starts it, perhaps through a loader; later its title, in front of what is left of those arguments.
 * Source: CRIU, criu/crtools.c (swrk) and criu/cr-service.c, restore_using_req.
 */
function isRestoringCriu(args: readonly string[]): boolean {
  const [program = "", command, socket = ""] = args.slice(-3);
  return (
    args.includes("criu: restore --rpc") || (basename(program) === "criu" && command === "swrk" && /^\d+$/.test(socket))
  );
}

/** One that has ended since it was found to be the parent leaves its CRIU a stray. */
function isRuntimeCommand(pid: number): boolean {
  try {
    const args = commandLine(pid);
    return args.includes("restore") || args.includes("checkpoint");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return false;
    throw error;
  }
}

function commandLine(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
}
