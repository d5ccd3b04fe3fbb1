import { readFileSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";
import { execFiles } from "../operations/exec.ts";
import type { HostParts } from "../parts.ts";
import { initPidFile, type Task } from "../task/task.ts";
import type { TaskProcess } from "./process.ts";
import { readStat } from "./process-handle.ts";

const sweepMs = 50;
/** Its own children the runtime reaps at once; a zombie that is older is nobody's. */
const quietAgeMs = 100;
/** While a runtime command runs, a zombie may be a process whose number is not written yet. */
const busyAgeMs = 2000;

/**
 * Reaps what containers and runtimes orphan: as a subreaper the host becomes the parent of it, and a pid namespace does
 * not end before its last zombie is gone.
 * Effects: runs only after a child has ended; never waits for any child but those that nobody knows.
 */
export function reapOrphans(parts: HostParts): Disposable {
  const seen = new Map<number, number>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const sweep = (): void => {
    timer = undefined;
    const known = knownPids(parts);
    const age = parts.spawner.inFlight === 0 ? quietAgeMs : busyAgeMs;
    const zombies = childPids().filter((pid) => !known.has(pid) && readStat(pid)?.state === "Z");
    for (const pid of seen.keys()) if (!zombies.includes(pid)) seen.delete(pid);
    for (const pid of zombies) {
      const since = seen.get(pid) ?? performance.now();
      seen.set(pid, since);
      if (performance.now() - since >= age) reapOne(parts, pid);
    }
    if (zombies.length > 0) timer = setTimeout(sweep, sweepMs);
  };
  const onChild = (): void => {
    timer ??= setTimeout(sweep, sweepMs);
  };
  process.on("SIGCHLD", onChild);
  return {
    [Symbol.dispose]: () => {
      process.off("SIGCHLD", onChild);
      clearTimeout(timer);
    },
  };
}

function reapOne(parts: HostParts, pid: number): void {
  try {
    parts.kernel.reap(pid);
  } catch (error) {
    if (!isErrno(error, "ECHILD")) throw error;
  }
}

function knownPids(parts: HostParts): Set<number> {
  const known = new Set<number>();
  for (const task of parts.tasks.all()) {
    for (const process of task.processes()) {
      known.add(process.pid === 0 ? announcedPid(task, process) : process.pid);
      if (process.logger !== undefined) known.add(process.logger.pid);
    }
  }
  return known;
}

/**
 * The number that a runtime wrote of a process which is still being made: it may end long before its runtime does, and its
 * exit is told by who takes hold of it then. 0 when there is none.
 */
function announcedPid(task: Task, process: TaskProcess): number {
  const file = process === task.init ? initPidFile(task) : execFiles(task, process.execId).pidFile;
  try {
    return Number(readFileSync(file, "utf8").trim());
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return 0;
    throw error;
  }
}

/** Source: proc_tid_children(5). */
function childPids(): number[] {
  try {
    const text = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
    return text
      .split(" ")
      .filter((one) => one !== "")
      .map(Number);
  } catch (error) {
    // A kernel without CONFIG_PROC_CHILDREN.
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
