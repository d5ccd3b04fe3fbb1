import { closeQuietly, type Fd, isErrno, type Kernel, OwnedFd } from "../../sys/index.ts";
import { readStat } from "../process-handle.ts";
import type { PidRecord } from "../state/records.ts";

/** The descriptor under which the holder has the master. */
const heldFd = 3;

/**
 * Starts a tiny process that keeps a terminal's master open, so that the terminal outlives this host.
 * Shape: `streams` are the client's FIFOs as the relay has them, so that clients see no end while hosts change; `cat`, which reads from a pipe that it holds the other end of itself, and so for ever, in a session of its own.
 */
export function holdMaster(kernel: Kernel, master: Fd, streams: readonly Fd[]): PidRecord {
  const [read, write] = kernel.pipe();
  try {
    const child = Bun.spawn(["cat"], {
      stdio: [read, "ignore", "ignore", master, write, ...streams],
      env: {},
      detached: true,
      cwd: "/",
    });
    child.unref();
    return { pid: child.pid, startTime: readStat(child.pid)?.startTime ?? 0 };
  } finally {
    closeQuietly(kernel, read);
    closeQuietly(kernel, write);
  }
}

/** Takes the master from its holder; undefined when the holder is gone, or the kernel does not let us. */
export function takeMaster(kernel: Kernel, holder: PidRecord): Fd | undefined {
  if (!runs(holder)) return undefined;
  try {
    using pidfd = new OwnedFd(kernel, kernel.pidfdOpen(holder.pid));
    return kernel.pidfdGetFd(pidfd.fd, heldFd);
  } catch (error) {
    if (isErrno(error, "ESRCH", "EPERM", "EBADF", "ENOSYS")) return undefined;
    throw error;
  }
}

/** Ends a holder; one that is gone is fine. */
export function endHolder(kernel: Kernel, holder: PidRecord): void {
  if (!runs(holder)) return;
  try {
    kernel.kill(holder.pid, 9);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

function runs(holder: PidRecord): boolean {
  const stat = readStat(holder.pid);
  return stat !== undefined && stat.startTime === holder.startTime && !"ZX".includes(stat.state);
}
