import { check, cString, lazyLibrary } from "./libc.ts";

/** How a short-lived process shuts itself in before it touches what it does not trust. */
export interface IsolationCalls {
  /**
   * Gives the calling thread a mount namespace, a root and a working folder of its own. Source: unshare(2), CLONE_NEWNS.
   * Effects: for this thread only: calls that the runtime makes on its pool's threads stay where they were.
   */
  unshareMounts(): void;
  /** Makes a folder the root of the calling thread (after unshareMounts), and its working folder. Source: chroot(2). */
  chroot(path: string): void;
  /** Has the kernel send this signal when the thread that started this process ends. Source: prctl(2), PR_SET_PDEATHSIG. */
  dieWithParent(signal: number): void;
}

const libc = lazyLibrary({
  unshare: { args: ["i32"], returns: "i32" },
  chroot: { args: ["ptr"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
});

/** CLONE_NEWNS. Source: linux/sched.h. */
const newMountNamespace = 0x00020000;
const setParentDeathSignal = 1;

/** SAFETY: the path lives through the call. JUSTIFICATION: the runtime has none of these. */
export const isolationCalls: IsolationCalls = {
  unshareMounts: () => {
    check("unshare", () => libc().unshare(newMountNamespace));
  },
  chroot: (path) => {
    const name = cString(path);
    check("chroot", () => libc().chroot(name), path);
    process.chdir("/");
  },
  dieWithParent: (signal) => {
    check("prctl", () => libc().prctl(setParentDeathSignal, signal, 0, 0, 0));
  },
};
