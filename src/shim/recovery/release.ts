import { existsSync, rmSync } from "node:fs";
import { messageOf } from "../../lib/faults.ts";
import { type Fd, OwnedFd } from "../../sys/index.ts";
import { drawers, type Kept } from "../keeper/kept.ts";
import type { HostParts } from "../parts.ts";
import { continueInit, execFifoPath, finishRelease, holdsFifo, type KnownKind } from "../runtime/exec-fifo.ts";
import { publishStart } from "../task/journaled.ts";
import { takeRelease } from "../task/keep.ts";
import type { Task } from "../task/task.ts";

/**
 * Finishes a start of init whose last line the earlier host did not reach.
 * Shape: init was let go once that host had the FIFO open, which was kept since; without one, it still waits as long as
 * it holds the FIFO itself.
 * Effects: event /tasks/start for an init that was let go and not told of.
 */
export function takeUpStart(parts: HostParts, task: Task): void {
  const { init } = task;
  const fifo = execFifoPath(task.runtimeRecord.root, task.id);
  const kept = takeRelease(parts, task);
  if (kept !== undefined) {
    finishStart(parts, task, kept, fifo).catch((error: unknown) =>
      parts.log.warn("could not finish a start in which an earlier host died", { id: task.id, error }),
    );
  }
  if (init.status !== "created") return;
  if (kept === undefined) {
    const alive = init.handle !== undefined;
    if (existsSync(fifo) && (!alive || holdsFifo(init.pid, fifo))) return letWait(parts, task, fifo);
    // The runtime would take it for one that waits.
    rmSync(fifo, { force: true });
  }
  init.status = "running";
  publishStart(parts, task, init);
}

/** Init waits for its start; the earlier host may have died while it held it still for that. */
function letWait({ kernel }: HostParts, { init }: Task, fifo: string): void {
  if (init.handle !== undefined) continueInit({ kernel, pid: init.pid, pidfd: init.handle.pidfd }, fifo);
}

/** Holds the kept end of the FIFO until init has gone on, or has ended. */
async function finishStart(parts: HostParts, task: Task, kept: Kept, fifo: string): Promise<void> {
  const { kernel, watcher, log } = parts;
  const { handle } = task.init;
  using _kept = { [Symbol.dispose]: () => kept.dropAll() };
  try {
    using release = releaseOf(parts, kept);
    if (release !== undefined && handle !== undefined) {
      const { pid, pidfd } = handle;
      const goOn = (): void => continueInit({ kernel, pid, pidfd }, fifo);
      await finishRelease(release.kind, { kernel, watcher, fifo, fd: release.fd, pid, pidfd, goOn });
    }
  } catch (error) {
    log.info("a start in which an earlier host died needed no end", { id: task.id, reason: messageOf(error) });
  }
  rmSync(fifo, { force: true });
}

/** What is kept of a release, for the caller to own. */
function releaseOf({ kernel }: HostParts, kept: Kept): (Disposable & { kind: KnownKind; fd: Fd }) | undefined {
  const [found] = kept.copies(drawers.release);
  if (found === undefined) return undefined;
  const [kind, fd] = found;
  const owned = new OwnedFd(kernel, fd);
  return { kind: kind === "crun" ? "crun" : "runc", fd, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}
