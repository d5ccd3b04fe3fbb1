import type { Fd } from "./files.ts";
import { check, lazyLibrary } from "./libc.ts";
import { isErrno } from "./sys-error.ts";
import { syscall } from "./syscalls.ts";

export type Pid = number;

/** What wait tells of a child that ended. */
export interface WaitStatus {
  readonly pid: Pid;
  /** As shells and containerd count it: the exit code, or 128 + the signal that ended it. */
  readonly exitStatus: number;
}

export interface ProcessCalls {
  /** Lets whoever waits for this processor have it first. Source: sched_yield(2), which always succeeds. */
  yieldProcessor(): void;
  /** A descriptor for a process, readable once it ended. Source: pidfd_open(2), Linux 5.3. Errors: SysError ESRCH. */
  pidfdOpen(pid: Pid): Fd;
  /** Signals exactly this process, never a later one of the same number. Source: pidfd_send_signal(2). Errors: SysError ESRCH. */
  pidfdSignal(pidfd: Fd, signal: number): void;
  /** Copies a descriptor out of another process. Source: pidfd_getfd(2), Linux 5.6. Errors: SysError EPERM without ptrace rights. */
  pidfdGetFd(pidfd: Fd, remote: Fd): Fd;
  /**
   * The exit status of a process that was not this one's child, once its own parent has reaped it.
   * Undefined before that, and where the kernel does not keep it (before Linux 6.15). Source: linux/pidfd.h, PIDFD_GET_INFO.
   */
  pidfdExitStatus(pidfd: Fd): number | undefined;
  /** Signals a process by number. Source: kill(2). */
  kill(pid: Pid, signal: number): void;
  /** Reaps one child if it has ended; undefined while it lives. Source: waitpid(2) with WNOHANG. Errors: SysError ECHILD. */
  reap(pid: Pid): WaitStatus | undefined;
  /** Makes orphaned descendants this process's children. Source: prctl(2), PR_SET_CHILD_SUBREAPER. */
  becomeSubreaper(): void;
  /** Leaves the caller's session and terminal; already leading one is fine. Source: setsid(2). */
  newSession(): void;
}

const libc = lazyLibrary({
  kill: { args: ["i32", "i32"], returns: "i32" },
  waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  setsid: { args: [], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  sched_yield: { args: [], returns: "i32" },
});

const withoutHanging = 1;
const setChildSubreaper = 36;

/** struct pidfd_info, version 0. Source: linux/pidfd.h of Linux 6.15. */
export const pidfdInfoLayout = { size: 64, mask: 0, exitCode: 60 } as const;
/** PIDFD_INFO_EXIT: exit_code is valid. */
const infoExit = 1n << 3n;
/** _IOWR(0xFF, 11, struct pidfd_info). */
const pidfdGetInfo = 0xc040ff0b;

/** SAFETY: fixed-size buffers that live through the call. JUSTIFICATION: the runtime reaps only what it spawned itself. */
export const processCalls: ProcessCalls = {
  yieldProcessor: () => {
    libc().sched_yield();
  },
  pidfdOpen: (pid) => syscall("pidfd_open", [pid, 0], String(pid)),
  pidfdSignal: (pidfd, signal) => {
    syscall("pidfd_send_signal", [pidfd, signal, 0, 0]);
  },
  pidfdGetFd: (pidfd, remote) => syscall("pidfd_getfd", [pidfd, remote, 0]),
  pidfdExitStatus: (pidfd) => {
    const info = new DataView(new ArrayBuffer(pidfdInfoLayout.size));
    info.setBigUint64(pidfdInfoLayout.mask, infoExit, true);
    try {
      check("ioctl", () => libc().ioctl(pidfd, pidfdGetInfo, new Uint8Array(info.buffer)));
    } catch (error) {
      // ESRCH: not reaped yet, or gone before this descriptor was opened; ENOTTY and EINVAL: an older kernel.
      if (isErrno(error, "ESRCH", "ENOTTY", "EINVAL", "EREMOTE")) return undefined;
      throw error;
    }
    const known = (info.getBigUint64(pidfdInfoLayout.mask, true) & infoExit) !== 0n;
    return known ? exitStatusOf(info.getInt32(pidfdInfoLayout.exitCode, true)) : undefined;
  },
  kill: (pid, signal) => {
    check("kill", () => libc().kill(pid, signal), String(pid));
  },
  reap: (pid) => {
    const status = new Int32Array(1);
    const reaped = check("waitpid", () => libc().waitpid(pid, status, withoutHanging), String(pid));
    return reaped === 0 ? undefined : { pid: reaped, exitStatus: exitStatusOf(status[0] as number) };
  },
  becomeSubreaper: () => {
    check("prctl", () => libc().prctl(setChildSubreaper, 1, 0, 0, 0));
  },
  newSession: () => {
    try {
      check("setsid", () => libc().setsid());
    } catch (error) {
      if (!isErrno(error, "EPERM")) throw error;
    }
  },
};

/** A wait status word as one number. Source: wait(2), WIFSIGNALED and WEXITSTATUS; containerd adds 128 to a signal. */
export function exitStatusOf(word: number): number {
  const signal = word & 0x7f;
  return signal === 0 ? (word >> 8) & 0xff : 128 + signal;
}
