import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { type CgroupMounts, seenCgroup } from "./locate.ts";

/** For how long the lock surely stays easy to take after somebody had it: a grace period takes longer. */
const freshMs = 2;
/** A kernel that refuses does so for a reason that lasts, like cgroups that are mounted read-only. */
const refusalMs = 60_000;

export interface MoveLockOptions {
  readonly mounts: CgroupMounts;
  readonly log: Logger;
  /** In milliseconds; performance.now when left out. */
  readonly now?: () => number;
  /** Writes to a file that is there; the real one when left out. */
  readonly write?: (path: string, text: string) => Promise<void>;
}

/**
 * The kernel's lock around all moves of processes between cgroups, taken ahead of need.
 * Shape: who takes it first after a pause waits for a grace period of RCU, 5 to 20 ms, which is half of what a runtime's
 * create takes; who takes it right after that waits for nothing. A process that is "moved" to the cgroup in which it is
 * takes it, and changes nothing.
 * Source: Linux kernel/cgroup/cgroup.c, cgroup_attach_lock; kernel/rcu/sync.c. See docs/adr/0014-the-move-lock.md.
 */
export class MoveLock {
  readonly #options: MoveLockOptions;
  readonly #now: () => number;
  #isTaking = false;
  #freshUntil = 0;

  constructor(options: MoveLockOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** A process is about to be moved. Effects: returns at once; a thread of the pool waits, one at a time. */
  expect(): void {
    if (this.#isTaking || this.#now() < this.#freshUntil) return;
    this.#isTaking = true;
    void this.#take().then((forMs) => {
      this.#freshUntil = this.#now() + forMs;
      this.#isTaking = false;
    });
  }

  /** Answers for how long it need not be taken again. Never rejects. */
  async #take(): Promise<number> {
    const { mounts, log, write = writeExisting } = this.#options;
    try {
      // Read each time: an administrator may have moved this process, which must not move back.
      const folder = seenCgroup(await readFile("/proc/self/cgroup", "utf8"), mounts);
      if (folder === undefined) return refusalMs;
      await write(join(folder, "cgroup.procs"), String(process.pid));
      return freshMs;
    } catch (error) {
      log.debug("the lock for moves between cgroups can't be taken ahead of need", { error: messageOf(error) });
      return refusalMs;
    }
  }
}

const writeExisting = (path: string, text: string): Promise<void> => writeFile(path, text, { flag: "r+" });
