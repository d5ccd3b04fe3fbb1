import { unlinkSync } from "node:fs";
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

/**
 * Starts a created container as its runtime's own `start` does, without a process for it.
 * Shape: runc's init opens the FIFO for writing and writes a byte, so that reading one releases it; crun's holds the
 * reading end and waits for a byte. Both then remove the FIFO. Callers make sure that there are no poststart hooks.
 * Errors: unknown, as `runtime start` words it.
 * Source: runc libcontainer/container_linux.go, exec and handleFifo; crun src/libcrun/status.c, libcrun_status_write_exec_fifo.
 */
export async function releaseInit(kind: Exclude<RuntimeKind, "other">, options: ReleaseOptions): Promise<void> {
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
    if (kind === "crun") {
      unlinkSync(fifo);
      kernel.write(fd, new Uint8Array(1));
    } else {
      await readByte(fd, options);
      unlinkSync(fifo);
    }
  } finally {
    closeQuietly(kernel, fd);
  }
}

/** Waits until init has written its byte, or has ended. */
function readByte(fd: Fd, { kernel, watcher, pidfd }: ReleaseOptions): Promise<void> {
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
