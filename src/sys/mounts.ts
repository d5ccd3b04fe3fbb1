import { check, cString, lazyLibrary } from "./libc.ts";

/** Flags of mount(2). Source: linux/mount.h. */
export const mountFlags = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  synchronous: 16,
  remount: 32,
  mandatoryLock: 64,
  dirSync: 128,
  noSymfollow: 256,
  noAtime: 1024,
  noDirAtime: 2048,
  bind: 4096,
  move: 8192,
  recursive: 16384,
  silent: 32768,
  posixAcl: 65536,
  unbindable: 131072,
  private: 262144,
  slave: 524288,
  shared: 1048576,
  relAtime: 2097152,
  strictAtime: 16777216,
  lazyTime: 33554432,
} as const;

/** Flags of umount2(2). */
export const unmountFlags = { force: 1, detach: 2, expire: 4, noFollow: 8 } as const;

export interface MountCalls {
  /**
   * Mounts a filesystem. Source: mount(2).
   * Errors: SysError. Effects: may block on slow devices and network filesystems; local overlay and bind mounts take microseconds.
   */
  mount(source: string, target: string, type: string, flags: number, data: string): void;
  /** Unmounts. Source: umount2(2). Errors: SysError (EINVAL: not a mount point). Effects: may write back dirty pages and block. */
  unmount(target: string, flags: number): void;
}

const libc = lazyLibrary({
  mount: { args: ["ptr", "ptr", "ptr", "u64", "ptr"], returns: "i32" },
  umount2: { args: ["ptr", "i32"], returns: "i32" },
});

/** SAFETY: every string is a NUL-ended buffer that lives through the call. JUSTIFICATION: no mount in the runtime. */
export const mountCalls: MountCalls = {
  mount: (source, target, type, flags, data) => {
    const strings = [source, target, type, data].map(cString) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    check("mount", () => libc().mount(strings[0], strings[1], strings[2], flags, strings[3]), JSON.stringify(target));
  },
  unmount: (target, flags) => {
    const path = cString(target);
    check("umount", () => libc().umount2(path, flags), JSON.stringify(target));
  },
};
