import { readFileSync } from "node:fs";

/** Clock ticks a second, as the kernel shows them to programs on every machine. Source: time(7), USER_HZ. */
const ticksPerSecond = 100;

let bootAtMs: number | undefined;

/**
 * When a process of this machine was started: the API says of a task when it ended, not when it began.
 * Shape: undefined when the process is not to be seen from here.
 * Source: proc_pid_stat(5), starttime; proc_uptime(5).
 */
export function processStart(pid: number): Date | undefined {
  if (pid <= 0) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name may hold anything, brackets too: what follows the last one is split.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[startTimeField]);
    // The kernel tells the time of boot in whole seconds only; how long that is ago it tells finer.
    bootAtMs ??= Date.now() - Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000;
    const at = bootAtMs + (ticks * 1000) / ticksPerSecond;
    return Number.isFinite(at) ? new Date(at) : undefined;
  } catch {
    // It ended meanwhile, or lives on another machine.
    return undefined;
  }
}

/** Field 22, counted from the third, which is the first behind the name. */
const startTimeField = 22 - 3;
