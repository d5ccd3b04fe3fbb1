import { type Kernel, mountFlags, OwnedFd, openFlags } from "../../sys/index.ts";
import { type CgroupMounts, isHybrid } from "../cgroup/locate.ts";

const coverFlags = mountFlags.noSuid | mountFlags.noDev | mountFlags.noExec;

/** Starts children that see other mounts than this process. */
export interface RuntimeMounts extends Disposable {
  /** Runs what starts a child, at once. Errors: what it throws; SysError when the kernel refuses a namespace. */
  around<T>(start: () => T): T;
}

/**
 * What runtimes see of the mounts: all there are when they are started, but for a cgroup2 mount beside v1 controllers, next to
 * which crun refuses to work. An empty filesystem lies over it: crun makes a folder there for each container, in what is below the
 * mount where that is taken away, and nobody removes it.
 * Shape: this thread alone goes to a new mount namespace and comes back once the child is there: the host itself stays where
 * the daemon is, sees what is mounted later, and leaves its own mounts to the host after it.
 * A helper thread that the engine starts just then holds that namespace until it is idle for some seconds, no more.
 * Effects: on a return that fails the process ends: it would mount where nobody sees it.
 */
export function openRuntimeMounts(kernel: Kernel, mounts: CgroupMounts): RuntimeMounts {
  const { v2 } = mounts;
  if (v2 === undefined || !isHybrid(mounts)) return { around: (start) => start(), [Symbol.dispose]: () => {} };
  const parent = v2.folder.slice(0, v2.folder.lastIndexOf("/"));
  const home = new OwnedFd(kernel, kernel.open("/proc/thread-self/ns/mnt", openFlags.readOnly));
  return {
    around: (start) => {
      kernel.unshareMounts();
      try {
        kernel.mount("", parent, "", mountFlags.private | mountFlags.recursive, "");
        kernel.mount("lighter", v2.folder, "tmpfs", coverFlags, "mode=755,nr_inodes=4k,size=4m");
        return start();
      } finally {
        comeBack(kernel, home);
      }
    },
    [Symbol.dispose]: () => home[Symbol.dispose](),
  };
}

function comeBack(kernel: Kernel, home: OwnedFd): void {
  try {
    kernel.enterMounts(home.fd);
  } catch (error) {
    process.stderr.write(`the shim host cannot return to its mount namespace: ${String(error)}\n`);
    process.exit(1);
  }
}
