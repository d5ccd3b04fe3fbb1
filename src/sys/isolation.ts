import type { Fd } from "./files.ts";
import { check, cString, lazyLibrary } from "./libc.ts";
import { isErrno } from "./sys-error.ts";

/** How a short-lived process shuts itself in before it touches what it does not trust. */
export interface IsolationCalls {
  /**
   * Gives the calling thread a mount namespace, a root and a working folder of its own. Source: unshare(2), CLONE_NEWNS.
   * Effects: for this thread only: calls that the runtime makes on its pool's threads stay where they were.
   */
  unshareMounts(): void;
  /**
   * Takes the calling thread into a mount namespace, by its descriptor. Source: setns(2), CLONE_NEWNS.
   * Effects: its root and working folder are the namespace's root, and its own.
   */
  enterMounts(namespace: Fd): void;
  /** Makes a folder the root of the calling thread (after unshareMounts), and its working folder. Source: chroot(2). */
  chroot(path: string): void;
  /** The same for a folder that was opened before, wherever it is. Source: fchdir(2), chroot(2). */
  chrootTo(folder: Fd): void;
  /** Has the kernel send this signal when the thread that started this process ends. Source: prctl(2), PR_SET_PDEATHSIG. */
  dieWithParent(signal: number): void;
  /**
   * Gives up every capability of the calling thread, and of threads that it starts from here on, but these, for good.
   * Source: capset(2); prctl(2), PR_CAPBSET_DROP and PR_SET_NO_NEW_PRIVS.
   */
  keepCapabilities(kept: readonly Capability[]): void;
  /**
   * Lets only these of the calling thread's capabilities count, until others of them are asked for.
   * Source: capget(2), capset(2): the effective set. Errors: SysError EPERM (it does not hold one of them).
   */
  useCapabilities(used: readonly Capability[]): void;
  /**
   * Starts a program of root's that has these capabilities from its first moment, in every thread, and can get no others.
   * Shape: `start` starts it on the calling thread and before it returns.
   * Effects: where this thread may not say so (it lacks CAP_SETPCAP, or one of them), the program has all that this one has.
   * Source: capabilities(7), ambient capabilities and SECBIT_NOROOT; prctl(2), PR_CAP_AMBIENT and PR_SET_SECUREBITS.
   */
  startWith<T>(rights: readonly Capability[], start: () => T): T;
}

/** Capabilities by the names that capabilities(7) has. Source: linux/capability.h. */
export const capabilities = {
  chown: 0,
  dacOverride: 1,
  fowner: 3,
  fsetid: 4,
  sysChroot: 18,
  sysAdmin: 21,
  mknod: 27,
  setfcap: 31,
} as const;

export type Capability = keyof typeof capabilities;

const libc = lazyLibrary({
  unshare: { args: ["i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  chroot: { args: ["ptr"], returns: "i32" },
  fchdir: { args: ["i32"], returns: "i32" },
  capget: { args: ["ptr", "ptr"], returns: "i32" },
  capset: { args: ["ptr", "ptr"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
});

/** CLONE_NEWNS. Source: linux/sched.h. */
const newMountNamespace = 0x00020000;
/** CLONE_FS. Source: linux/sched.h. */
const ownFolders = 0x00000200;
/** The runtime may start a thread between two calls of ours, but not again and again. */
const enterTries = 100;
const setParentDeathSignal = 1;
const dropFromBounds = 24;
const setNoNewPrivileges = 38;
const [getSecureBits, setSecureBits] = [27, 28];
/** SECBIT_NOROOT: an exec gives root nothing that it has not. Source: linux/securebits.h. */
const noRoot = 1;
const ambient = 47;
const [raiseAmbient, clearAmbient] = [2, 4];
/** Source: linux/capability.h, _LINUX_CAPABILITY_VERSION_3 (two words of each set). */
const capabilityVersion = 0x20080522;
const capabilityWords = 2;
/** Of each set's word: effective, permitted, inheritable. Source: capget(2), struct __user_cap_data_struct. */
const [effective, permitted, inheritable, wordsOfEach] = [0, 1, 2, 3];
/** More than any kernel knows; the first that it does not know ends the list. */
const maxCapabilities = 64;

/** SAFETY: the path lives through the call. JUSTIFICATION: the runtime has none of these. */
export const isolationCalls: IsolationCalls = {
  unshareMounts: () => {
    check("unshare", () => libc().unshare(newMountNamespace));
  },
  enterMounts: (namespace) => {
    for (let tries = 1; ; tries++) {
      // A thread that was started since shares root and working folder with this one, which then may not leave.
      check("unshare", () => libc().unshare(ownFolders));
      try {
        check("setns", () => libc().setns(namespace, newMountNamespace));
        return;
      } catch (error) {
        if (tries === enterTries || !isErrno(error, "EINVAL")) throw error;
      }
    }
  },
  chroot: (path) => {
    const name = cString(path);
    check("chroot", () => libc().chroot(name), path);
    process.chdir("/");
  },
  chrootTo: (folder) => {
    const name = cString(".");
    check("fchdir", () => libc().fchdir(folder));
    check("chroot", () => libc().chroot(name));
    process.chdir("/");
  },
  dieWithParent: (signal) => {
    check("prctl", () => libc().prctl(setParentDeathSignal, signal, 0, 0, 0));
  },
  keepCapabilities: (kept) => {
    const numbers = kept.map((name) => capabilities[name]);
    check("prctl", () => libc().prctl(setNoNewPrivileges, 1, 0, 0, 0));
    for (let one = 0; one < maxCapabilities; one++) {
      if ((numbers as readonly number[]).includes(one)) continue;
      if (libc().prctl(dropFromBounds, one, 0, 0, 0) !== 0) break;
    }
    const data = new Uint32Array(wordsOfEach * capabilityWords);
    setWords(data, effective, numbers);
    setWords(data, permitted, numbers);
    putCapabilities(data);
  },
  useCapabilities: (used) => {
    const data = ownCapabilities();
    setWords(
      data,
      effective,
      used.map((name) => capabilities[name]),
    );
    putCapabilities(data);
  },
  startWith: (rights, start) => {
    using _narrowed = narrowExecs(rights.map((name) => capabilities[name]));
    return start();
  },
};

/**
 * What this thread executes has these capabilities, until it is disposed. The thread keeps its own.
 * Effects: nothing where it has not the right.
 */
function narrowExecs(numbers: readonly number[]): Disposable {
  const before = ownCapabilities();
  const bits = check("prctl", () => libc().prctl(getSecureBits, 0, 0, 0, 0));
  const restore = (): void => {
    libc().prctl(ambient, clearAmbient, 0, 0, 0);
    putCapabilities(before);
    check("prctl", () => libc().prctl(setSecureBits, bits, 0, 0, 0));
  };
  if (libc().prctl(setSecureBits, bits | noRoot, 0, 0, 0) !== 0) return { [Symbol.dispose]: () => {} };
  try {
    const data = before.slice();
    setWords(data, inheritable, numbers);
    putCapabilities(data);
    for (const one of numbers) check("prctl", () => libc().prctl(ambient, raiseAmbient, one, 0, 0));
  } catch (error) {
    restore();
    if (!isErrno(error, "EPERM")) throw error;
    return { [Symbol.dispose]: () => {} };
  }
  return { [Symbol.dispose]: restore };
}

function ownCapabilities(): Uint32Array {
  const header = new Uint32Array([capabilityVersion, 0]);
  const data = new Uint32Array(wordsOfEach * capabilityWords);
  check("capget", () => libc().capget(header, data));
  return data;
}

function putCapabilities(data: Uint32Array): void {
  const header = new Uint32Array([capabilityVersion, 0]);
  check("capset", () => libc().capset(header, data));
}

function setWords(data: Uint32Array, set: number, numbers: readonly number[]): void {
  for (const [word, bits] of wordsOf(numbers).entries()) data[word * wordsOfEach + set] = bits;
}

/** Capabilities as the bits of 32-bit words. */
function wordsOf(numbers: readonly number[]): Uint32Array {
  const words = new Uint32Array(capabilityWords);
  for (const one of numbers) words[one >> 5] = (words[one >> 5] as number) | (1 << (one & 31));
  return words;
}
