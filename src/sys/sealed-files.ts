import type { Fd } from "./files.ts";
import { check, cString, lazyLibrary } from "./libc.ts";
import { isErrno } from "./sys-error.ts";

export interface SealedFileCalls {
  /**
   * Makes an empty file in memory, close-on-exec, that may be run and sealed; it is gone with its last descriptor.
   * Shape: the name is what /proc shows. Source: memfd_create(2); MFD_EXEC since Linux 6.3.
   * Errors: SysError EACCES where the administrator forbids programs in memory (vm.memfd_noexec).
   */
  memoryFile(name: string): Fd;
  /** Seals a file in memory against every change, for good, and against other seals. Source: fcntl(2), F_ADD_SEALS. */
  seal(fd: Fd): void;
  /** Whether a file has exactly the seals that `seal` gives. Source: fcntl(2), F_GET_SEALS. */
  isSealed(fd: Fd): boolean;
}

const libc = lazyLibrary({
  memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
});

/** Source: linux/memfd.h. */
const [closeOnExec, allowSealing, mayRun] = [1, 2, 0x10];
/** F_ADD_SEALS, F_GET_SEALS; F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE. Source: linux/fcntl.h. */
const [addSeals, getSeals, allSeals] = [1033, 1034, 0xf];

/** SAFETY: the name lives through the call, the rest are numbers. JUSTIFICATION: the runtime has no files in memory. */
export const sealedFileCalls: SealedFileCalls = {
  memoryFile: (name) => {
    const text = cString(name);
    const make = (flags: number): Fd => check("memfd_create", () => libc().memfd_create(text, flags), name);
    try {
      return make(closeOnExec | allowSealing | mayRun);
    } catch (error) {
      // An older kernel, which asks nobody whether a file in memory may be run.
      if (isErrno(error, "EINVAL")) return make(closeOnExec | allowSealing);
      throw error;
    }
  },
  seal: (fd) => {
    check("fcntl", () => libc().fcntl(fd, addSeals, allSeals));
  },
  isSealed: (fd) => {
    try {
      return check("fcntl", () => libc().fcntl(fd, getSeals, 0)) === allSeals;
    } catch (error) {
      // No file in memory at all.
      if (isErrno(error, "EINVAL")) return false;
      throw error;
    }
  },
};
