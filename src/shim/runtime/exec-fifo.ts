import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { FaultError } from "../../lib/faults.ts";
import { closeQuietly, type Fd, type FdWatcher, isErrno, type Kernel, openFlags, pollEvents } from "../../sys/index.ts";
import { readStat } from "../process/process-handle.ts";
import type { RuntimeKind } from "./runtime-kind.ts";

/** The FIFO in a created container's state folder on which its init waits. Source: runc libcontainer/factory_linux.go; crun src/libcrun/status.c. */
export function execFifoPath(root: string, id: string): string {
  return join(root, id, "exec.fifo");
}

export interface ReleaseOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly fifo: string;
  readonly pid: number;
  /** Becomes readable when init ends. */
  readonly pidfd: Fd;
}

/** A FIFO whose other end is init's: init goes on from here, or dies when this is closed too early. */
export type Release = ReleaseOptions & {
  readonly fd: Fd;
  /** Lets init run on, which may be held still. */
  readonly goOn: () => void;
};

/** Runtimes whose way of letting init go is known. */
export type KnownKind = Exclude<RuntimeKind, "other">;

/**
 * Starts a created container as its runtime's own `start` does, without a process for it.
 * Shape: runc's init opens the FIFO for writing and writes a byte, so that reading one releases it; crun's holds the
 * reading end and waits for a byte. Until the descriptor is kept and there is a byte, init is held still, so that it sees
 * nothing of an end that comes and goes. Callers make sure that there are no poststart hooks, and `keep` that a copy of the
 * descriptor outlives this process until the answer is disposed: runc's init dies of a byte that nobody could read, and
 * crun's spins for ever when a writer has come and gone.
 * Errors: unknown, as `runtime start` words it.
 * Source: runc libcontainer/container_linux.go, exec and handleFifo; crun src/libcrun/status.c, libcrun_status_write_exec_fifo.
 */
export async function releaseInit(
  kind: KnownKind,
  options: ReleaseOptions,
  keep: (fd: Fd) => Disposable,
): Promise<void> {
  using still = await holdStill(options);
  const fd = openFifo(kind, options);
  try {
    using _kept = keep(fd);
    await finishRelease(kind, { ...options, fd, goOn: () => still[Symbol.dispose]() });
  } finally {
    closeQuietly(options.kernel, fd);
  }
}

function openFifo(kind: KnownKind, { kernel, fifo }: ReleaseOptions): Fd {
  const access = kind === "runc" ? openFlags.readOnly : openFlags.writeOnly;
  try {
    return kernel.open(fifo, access | openFlags.nonBlock);
  } catch (error) {
    const gone = isErrno(error, "ENOENT", "ENXIO");
    throw new FaultError(
      "unknown",
      `OCI runtime start failed: ${gone ? "cannot start a container that has stopped" : String(error)}`,
      { cause: error },
    );
  }
}

/**
 * Lets init go on by an open FIFO, and removes it; doing it again for an init that went on changes nothing.
 * Errors: unknown when runc's init ended before it went on, or had gone on before; EPIPE when crun's had.
 */
export async function finishRelease(kind: KnownKind, release: Release): Promise<void> {
  const { kernel, fd, fifo, goOn } = release;
  if (kind === "crun") kernel.write(fd, new Uint8Array(1));
  goOn();
  if (kind === "runc") await readByte(release);
  // The FIFO goes last: without it nobody could tell an init that still waits.
  rmSync(fifo, { force: true });
}

type Init = Pick<ReleaseOptions, "kernel" | "pid" | "pidfd">;

const [sigcont, sigstop] = [18, 19];
/** How long init may take to stand still; one that is frozen, or hangs in the kernel, does not, and is let go as it is. */
const stillTimeoutMs = 1000;

/**
 * Holds an init still until the answer is disposed, once: a second signal might reach what it has become.
 * Shape: crun's init dies when it finds a FIFO readable that is then empty, as one is whose writer went before its byte came;
 * runc's when its byte has no reader any more. A host that dies leaves it still, for the next one to let it go on.
 */
async function holdStill(init: Init): Promise<Disposable> {
  signalQuietly(init, sigstop);
  let isHeld = true;
  const deadline = performance.now() + stillTimeoutMs;
  while (threadStates(init.pid).some((state) => !"TtZX".includes(state)) && performance.now() < deadline)
    await new Promise((resolve) => setImmediate(resolve));
  return {
    [Symbol.dispose]: () => {
      if (isHeld) signalQuietly(init, sigcont);
      isHeld = false;
    },
  };
}

/** Lets an init go on that an earlier host held still, and that waits to be let go. */
export function continueInit(init: Init, fifo: string): void {
  if (readStat(init.pid)?.state === "T" && holdsFifo(init.pid, fifo)) signalQuietly(init, sigcont);
}

function signalQuietly({ kernel, pidfd }: Init, signal: number): void {
  try {
    kernel.pidfdSignal(pidfd, signal);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

/** Source: proc_pid_task(5); a signal stops one thread after the other. */
function threadStates(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => readStat(`${pid}/task/${thread}`)?.state ?? "X");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}

/** Whether a process still has a container's FIFO open, as an init that waits does and one that went on does not. */
export function holdsFifo(pid: number, fifo: string): boolean {
  try {
    const { dev, ino } = statSync(fifo);
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const found = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
      return found?.dev === dev && found.ino === ino;
    });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return false;
    throw error;
  }
}

/** Waits until init has written its byte, or has ended. */
function readByte({ kernel, watcher, pidfd, fd }: Release): Promise<void> {
  return new Promise((resolve, reject) => {
    const stack = new DisposableStack();
    // The pidfd is watched elsewhere too; an epoll set takes a descriptor once, so this is a copy.
    const end = kernel.duplicate(pidfd);
    stack.defer(() => closeQuietly(kernel, end));
    const finish = (action: () => void): void => {
      stack.dispose();
      action();
    };
    const died = (): void => finish(() => reject(new FaultError("unknown", diedText)));
    stack.use(
      watcher.watch(fd, pollEvents.readable, () => {
        try {
          if (kernel.read(fd, new Uint8Array(1)) > 0) finish(resolve);
          else died();
        } catch (error) {
          if (!isErrno(error, "EAGAIN")) finish(() => reject(error));
        }
      }),
    );
    stack.use(watcher.watch(end, pollEvents.readable, died));
  });
}

const diedText = "OCI runtime start failed: container init process ended before it was started";
