import { type Fd, fileCalls } from "./files.ts";
import { cString } from "./libc.ts";
import { syscall } from "./syscalls.ts";

export interface MountTreeCalls {
  /**
   * Mounts a folder's tree on another with the owners that a user namespace sees. Source: open_tree(2), mount_setattr(2),
   * move_mount(2), Linux 5.12.
   * Errors: SysError (EINVAL: the file system cannot be mapped).
   */
  idMapMount(source: string, target: string, userNamespace: Fd, readOnly: boolean): void;
}

// Source: linux/mount.h, linux/fcntl.h.
const openTreeClone = 1;
const openTreeCloseOnExec = 0o2000000;
const recursive = 0x8000;
const emptyPath = 0x1000;
const attrReadOnly = 1n;
const attrIdMap = 0x100000n;
const privatePropagation = BigInt(1 << 18);
const moveFromEmptyPath = 4;
const currentFolder = -100;
/** The size of struct mount_attr in its first version: four 64-bit words. */
const attrBytes = 32;

/** SAFETY: every buffer lives through its call. JUSTIFICATION: the runtime has no mounts. */
export const mountTreeCalls: MountTreeCalls = {
  idMapMount: (source, target, userNamespace, readOnly) => {
    const flags = openTreeClone | openTreeCloseOnExec | recursive;
    const tree = syscall("open_tree", [currentFolder, cString(source), flags], JSON.stringify(source));
    try {
      const attr = new BigUint64Array([
        attrIdMap | (readOnly ? attrReadOnly : 0n),
        0n,
        privatePropagation,
        BigInt(userNamespace),
      ]);
      syscall("mount_setattr", [tree, cString(""), emptyPath | recursive, attr, attrBytes], JSON.stringify(source));
      const to = cString(target);
      syscall("move_mount", [tree, cString(""), currentFolder, to, moveFromEmptyPath], JSON.stringify(target));
    } finally {
      fileCalls.close(tree);
    }
  },
};
