import { readFileSync, readlinkSync } from "node:fs";
import { check, lazyLibrary } from "./libc.ts";

const libc = lazyLibrary({ madvise: { args: ["u64", "u64", "i32"], returns: "i32" } });

/** Source: madvise(2). */
const dontNeed = 4;

/**
 * Unmaps the pages of the program's code and constants that start-up touched and an idle process does not. They stay in
 * the page cache, shared with every other process of the program, and come back by a minor fault when they are needed.
 * SAFETY: only mappings of the executable that can't be written and hold no page of our own, so that each page equals the
 * file (the linker's relocations are read-only too, and are such pages); addresses come from the kernel's own table.
 * JUSTIFICATION: no call for it in the runtime. Effects: some milliseconds; then some hundred minor faults.
 * Source: madvise(2), MADV_DONTNEED; proc(5), smaps.
 */
function dropIdlePages(): void {
  for (const [start, end] of unchangedMappings(
    readFileSync("/proc/self/smaps", "utf8"),
    readlinkSync("/proc/self/exe"),
  )) {
    check("madvise", () => libc().madvise(start, end - start, dontNeed));
  }
}

/** The mappings of a file that equal it: read-only, private, and without a page that was ever written. */
export function unchangedMappings(smaps: string, file: string): [start: bigint, end: bigint][] {
  const found: [bigint, bigint][] = [];
  let last: [bigint, bigint] | undefined;
  for (const line of smaps.split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) [0-9a-f]+ \S+ \d+ *(.*)$/.exec(line);
    if (head !== null) {
      const [, start, end, access = "", name] = head;
      last = /^r-[x-]p$/.test(access) && name === file ? [BigInt(`0x${start}`), BigInt(`0x${end}`)] : undefined;
    } else if (last !== undefined && /^Anonymous: +0 kB$/.test(line)) {
      found.push(last);
    }
  }
  return found;
}

const checkEveryMs = 1000;
/** Processor time in one interval below which a process is at rest; the runtime itself takes a few milliseconds of it. */
const restMicroseconds = 30_000;
/** What must have come back since the last time, for a drop to be worth its faults. */
const worthBytes = 8 * 1024 * 1024;
/** Intervals of rest after which compiled code goes too: the call that ends such a rest takes some milliseconds longer. */
const longRest = 8;
/** Intervals that the runtime's own work of shrinking may take; it is not taken for the process's. */
const shrinkTicks = 3;

/**
 * Watches the process, and gives memory back whenever it comes to rest after work: garbage and idle pages at once,
 * compiled code and caches when the rest is long. The watch keeps no process alive.
 */
export function shrinkWhenIdle(): Disposable {
  let used = Number.NEGATIVE_INFINITY;
  let rested = 0;
  let residentAfter = 0;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage();
    const resting = user + system - used < restMicroseconds;
    used = user + system;
    const shrinking = rested >= longRest && rested < longRest + shrinkTicks;
    rested = resting || shrinking ? rested + 1 : 0;
    if (rested === longRest) Bun.shrink(); // which the runtime does at its own time, touching much of its own code
    const shrunk = rested === longRest + shrinkTicks;
    if (rested === 0 || !(shrunk || process.memoryUsage.rss() >= residentAfter + worthBytes)) return;
    // At rest nobody waits for the loop, which a full collection holds for some milliseconds.
    Bun.gc(true);
    dropIdlePages();
    residentAfter = process.memoryUsage.rss();
  }, checkEveryMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
