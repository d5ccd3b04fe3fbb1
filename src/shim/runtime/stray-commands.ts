import { readdirSync, readFileSync } from "node:fs";
import { type FdWatcher, isErrno, type Kernel } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { readStat, waitForEnd } from "../process/process-handle.ts";
import type { PidRecord } from "../state/records.ts";

const endTimeoutMs = 5000;
/** A runtime's child that becomes the process it was made for does not end: it is seen at the next look. */
const lookMs = 20;

export interface StrayOptions {
  /** The container's own processes, asked for again and again: until it execs, crun's child has its runtime's command line. */
  readonly spared: () => ReadonlySet<number>;
  /** Until when they may go on, as performance.now() counts: what they are about to make is wanted. */
  readonly deadline: number;
}

/** How long a checkpoint may take: as long as nobody asked for it to end. */
const forever = 2 ** 31 - 1;

interface Container {
  /** Where its runtime keeps its state. */
  readonly root: string;
  readonly id: string;
}

interface Command extends PidRecord {
  readonly isCheckpoint: boolean;
}

type Waiting = Pick<HostParts, "kernel" | "watcher" | "log">;

/**
 * Waits for runtime commands of a container that outlived the host which started them, and ends those that take too long.
 * Shape: one that is killed while it makes a process may kill it as well, after the process was told of. A checkpoint is
 * left alone: it may take minutes, and has a container to lose.
 */
export async function endRuntimeCommands(
  { kernel, watcher, log }: Waiting,
  container: Container,
  { spared, deadline }: StrayOptions,
): Promise<void> {
  for (let looks = 0; ; looks++) {
    const commands = findCommands(container).filter(({ isCheckpoint }) => !isCheckpoint);
    // Asked for afterwards: one that was found may have written its number by now.
    const own = commands.length === 0 ? new Set() : spared();
    const found = commands.filter(({ pid }) => !own.has(pid));
    const leftMs = deadline - performance.now();
    if (found[0] === undefined) return;
    if (leftMs <= 0) return await endAll(kernel, watcher, found);
    if (looks === 0)
      log.info("waiting for what an earlier host's runtime makes", { id: container.id, pid: found[0].pid });
    await waitForEnd(kernel, watcher, found[0], Math.min(leftMs, lookMs));
  }
}

/** Waits for a container's checkpoint that outlived the host which asked for it. */
export async function untilCheckpointEnds({ kernel, watcher }: Waiting, container: Container): Promise<void> {
  for (;;) {
    const command = findCommands(container).find(({ isCheckpoint }) => isCheckpoint);
    if (command === undefined) return;
    await waitForEnd(kernel, watcher, command, forever);
  }
}

async function endAll(kernel: Kernel, watcher: FdWatcher, commands: readonly PidRecord[]): Promise<void> {
  for (const command of commands) {
    try {
      kernel.kill(command.pid, 9);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
    await waitForEnd(kernel, watcher, command, endTimeoutMs);
  }
}

function findCommands({ root, id }: Container): Command[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const args = commandLine(name);
    if (args.at(-1) !== id || !args.includes(root)) return [];
    const pid = Number(name);
    const isCheckpoint = args.slice(0, -1).includes("checkpoint");
    return [{ pid, startTime: readStat(pid)?.startTime ?? 0, isCheckpoint }];
  });
}

function commandLine(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}
