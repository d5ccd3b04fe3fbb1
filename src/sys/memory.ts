import { readFileSync, readlinkSync } from "node:fs";
import { check, lazyLibrary } from "./libc.ts";

const libc = lazyLibrary({ madvise: { args: ["u64", "u64", "i32"], returns: "i32" } });

/** Source: madvise(2). */
const dontNeed = 4;

/**
 * Unmaps the pages of the program's code that start-up touched and an idle process does not. They stay in the page cache,
 * shared with every other process of the program, and come back by a minor fault when they are run again.
 * SAFETY: only mappings of the executable that are private, readable, executable and never writable, so that each page
 * equals the file; addresses come from the kernel's own table. JUSTIFICATION: no call for it in the runtime.
 * Effects: 1 ms; then some hundred minor faults. Source: madvise(2), MADV_DONTNEED; proc(5), maps.
 */
function dropIdleCode(): void {
  const executable = readlinkSync("/proc/self/exe");
  for (const line of readFileSync("/proc/self/maps", "utf8").split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-xp [0-9a-f]+ \S+ \d+ +(\S.*)$/.exec(line);
    if (match === null || match[3] !== executable) continue;
    const start = BigInt(`0x${match[1]}`);
    const end = BigInt(`0x${match[2]}`);
    check("madvise", () => libc().madvise(start, end - start, dontNeed));
  }
}

const checkEveryMs = 1000;
/** Processor time in one interval below which a process is at rest; the runtime itself takes a few milliseconds of it. */
const restMicroseconds = 30_000;
/** What must have come back since the last time, for a drop to be worth its faults. */
const worthBytes = 8 * 1024 * 1024;

/** Watches the process, and drops idle code whenever it comes to rest after work. The watch keeps no process alive. */
export function dropCodeWhenIdle(): Disposable {
  let used = Number.NEGATIVE_INFINITY;
  let residentAfter = 0;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage();
    const resting = user + system - used < restMicroseconds;
    used = user + system;
    if (!resting || process.memoryUsage.rss() < residentAfter + worthBytes) return;
    // At rest nobody waits for the loop, which a full collection holds for some milliseconds.
    Bun.gc(true);
    dropIdleCode();
    residentAfter = process.memoryUsage.rss();
  }, checkEveryMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
