import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { FaultError } from "../../lib/faults.ts";
import { closeQuietly, type Fd, type FdWatcher, isErrno, type Kernel, openFlags, pollEvents } from "../../sys/index.ts";
import type { RuntimeKind } from "./runtime-kind.ts";

/** The FIFO in a created container's state folder on which its init waits. Source: runc libcontainer/factory_linux.go; crun src/libcrun/status.c. */
export function execFifoPath(root: string, id: string): string {
  return join(root, id, "exec.fifo");
}

export interface ReleaseOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly fifo: string;
  /** Becomes readable when init ends. */
  readonly pidfd: Fd;
}

/** A FIFO whose other end is init's: init goes on from here, or dies when this is closed too early. */
export type Release = ReleaseOptions & { readonly fd: Fd };

/** Runtimes whose way of letting init go is known. */
export type KnownKind = Exclude<RuntimeKind, "other">;

/**
 * Starts a created container as its runtime's own `start` does, without a process for it.
 * Shape: runc's init opens the FIFO for writing and writes a byte, so that reading one releases it; crun's holds the
 * reading end and waits for a byte. Callers make sure that there are no poststart hooks, and `keep` that a copy of the
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
  const { kernel, fifo } = options;
  const access = kind === "runc" ? openFlags.readOnly : openFlags.writeOnly;
  let fd: Fd;
  try {
    fd = kernel.open(fifo, access | openFlags.nonBlock);
  } catch (error) {
    const gone = isErrno(error, "ENOENT", "ENXIO");
    throw new FaultError(
      "unknown",
      `OCI runtime start failed: ${gone ? "cannot start a container that has stopped" : String(error)}`,
      { cause: error },
    );
  }
  try {
    using _kept = keep(fd);
    await finishRelease(kind, { ...options, fd });
  } finally {
    closeQuietly(kernel, fd);
  }
}

/**
 * Lets init go on by an open FIFO, and removes it; doing it again for an init that went on changes nothing.
 * Errors: unknown when runc's init ended before it went on, or had gone on before; EPIPE when crun's had.
 */
export async function finishRelease(kind: KnownKind, release: Release): Promise<void> {
  const { kernel, fd, fifo } = release;
  // The FIFO goes last: without it nobody could tell an init that still waits.
  if (kind === "crun") kernel.write(fd, new Uint8Array(1));
  else await readByte(release);
  rmSync(fifo, { force: true });
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
