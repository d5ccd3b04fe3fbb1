import { statSync } from "node:fs";
import { closeQuietly, type Fd, type Kernel, openFlags } from "../../sys/index.ts";
import type { StdioRecord } from "../state/records.ts";
import { parseOutput } from "./stdio-uri.ts";

interface ReadLimits {
  /** In milliseconds. */
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<unknown>;
}

/** How long a reader may leave the end of an output where it is. */
const limitMs = 1_000;
const [firstPauseMs, longestPauseMs] = [1, 32];

/**
 * Waits until readers have taken what a process has printed into their FIFOs, no longer than a second; not at all for FIFOs that nobody
 * has open.
 * Shape: clients close their end as soon as a deletion is answered, whatever they have not read by then: on a busy machine that is the
 * end of the output. Only looks: a FIFO is open for no longer than that takes, so that its reader comes to the end meanwhile.
 * Source: containerd client/process.go, Delete; pkg/cio/io_unix.go, copyIO.
 */
export async function untilOutputIsRead(
  kernel: Pick<Kernel, "open" | "close" | "unreadBytes">,
  stdio: Pick<StdioRecord, "stdout" | "stderr" | "terminal">,
  { now, pause }: ReadLimits = { now: () => performance.now(), pause: Bun.sleep },
): Promise<void> {
  const paths = fifosOf(stdio);
  if (!paths.some((path) => hasUnread(kernel, path))) return;
  const deadline = now() + limitMs;
  for (let waitMs = firstPauseMs; now() < deadline; waitMs = Math.min(waitMs * 2, longestPauseMs)) {
    await pause(waitMs);
    if (!paths.some((path) => hasUnread(kernel, path))) return;
  }
}

/** Beside a terminal, a file or a logger, which take both outputs, stderr's address says nothing and may be anything. */
function fifosOf({ stdout, stderr, terminal }: Parameters<typeof untilOutputIsRead>[1]): string[] {
  const out = parseOutput(stdout);
  const takesBoth = terminal || out.kind === "file" || out.kind === "binary";
  const targets = takesBoth ? [out] : [out, parseOutput(stderr)];
  return targets.flatMap((target) => (target.kind === "fifo" ? [target.path] : []));
}

/** Whether somebody has a FIFO open for reading, with bytes in it. */
function hasUnread(kernel: Pick<Kernel, "open" | "close" | "unreadBytes">, path: string): boolean {
  let fd: Fd;
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isFIFO() !== true) return false;
    fd = kernel.open(path, openFlags.writeOnly | openFlags.nonBlock);
  } catch {
    // Mostly ENXIO: nobody reads. Whatever else it is, no deletion fails for it.
    return false;
  }
  try {
    return kernel.unreadBytes(fd) > 0;
  } finally {
    closeQuietly(kernel, fd);
  }
}
