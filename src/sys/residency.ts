import { readFileSync } from "node:fs";
import { check, lazyLibrary } from "./libc.ts";

/** JUSTIFICATION: no binding gives pages back. SAFETY: only mappings without a page of their own are let go. */
const library = lazyLibrary({ madvise: { args: ["u64", "u64", "i32"], returns: "i32" } });

const MADV_DONTNEED = 4;

/** A stretch of a file, mapped to be read, of which this process holds no changed page. */
export interface CleanMapping {
  readonly start: bigint;
  readonly sizeBytes: bigint;
}

/**
 * The mappings in a text of /proc/PID/smaps whose every page is still the file's own.
 * Shape: read-only or executable, backed by a file, no anonymous page. Relocated data (RELRO) is read-only too but has
 * anonymous pages: letting those go would bring the unrelocated bytes back.
 * Source: proc_pid_smaps(5).
 */
export function cleanMappings(smaps: string): readonly CleanMapping[] {
  const found: CleanMapping[] = [];
  for (const entry of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+) /.exec(entry);
    if (head?.[1] === undefined || head[2] === undefined || head[3] === "0") continue;
    if (!/^Anonymous:\s+0 kB$/m.test(entry)) continue;
    const start = BigInt(`0x${head[1]}`);
    found.push({ start, sizeBytes: BigInt(`0x${head[2]}`) - start });
  }
  return found;
}

/**
 * Unmaps the pages of program text and read-only data; what is needed comes back from the page cache at its next use.
 * Effects: the process's resident size falls to its own memory; under a millisecond; nothing of its state changes.
 * Source: madvise(2), MADV_DONTNEED on a private file mapping.
 */
export function releaseCleanPages(): void {
  const { madvise } = library();
  for (const { start, sizeBytes } of cleanMappings(readFileSync("/proc/self/smaps", "utf8"))) {
    check("madvise", () => madvise(start, sizeBytes, MADV_DONTNEED));
  }
}
