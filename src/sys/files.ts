import { ptr } from "bun:ffi";
import { check, checkNow, cString, lazyLibrary, type PathBytes } from "./libc.ts";
import { isErrno } from "./sys-error.ts";
import { syscall } from "./syscalls.ts";

/** A file descriptor of this process. */
export type Fd = number;

/** Flags of open(2) that are the same on x86-64 and arm64. Source: asm-generic/fcntl.h. */
export const openFlags = {
  readOnly: 0,
  writeOnly: 1,
  readWrite: 2,
  create: 0o100,
  exclusive: 0o200,
  noCtty: 0o400,
  truncate: 0o1000,
  append: 0o2000,
  nonBlock: 0o4000,
  closeOnExec: 0o2000000,
  path: 0o10000000,
} as const;

/** Flags that differ by architecture. Source: asm/fcntl.h. */
const directoryFlag: number = process.arch === "arm64" ? 0o40000 : 0o200000;
const noFollowFlag: number = process.arch === "arm64" ? 0o100000 : 0o400000;
export const archOpenFlags: { readonly directory: number; readonly noFollow: number } = {
  directory: directoryFlag,
  noFollow: noFollowFlag,
};

/** How openat2(2) resolves a path. Source: linux/openat2.h. */
export const resolveFlags = { noXdev: 1, noMagiclinks: 2, noSymlinks: 4, beneath: 8, inRoot: 16 } as const;

export const lockKinds = { shared: 1, exclusive: 2, unlock: 8 } as const;

/** The folder descriptor that means "relative to the working folder". */
export const currentFolder = -100;

const [getFlags, setFlags, duplicate, setPipeSize, getPipeSize] = [3, 4, 1030, 1031, 1032];
const noFollowSymlink = 0x100;
/** FIONREAD. Source: asm-generic/ioctls.h. */
const countUnread = 0x541b;

/** Seconds and nanoseconds since the epoch; undefined leaves the time as it is. */
export interface FileTime {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

export interface FileCalls {
  /** Opens a file, always close-on-exec. Source: open(2). Effects: blocks on a FIFO without its peer unless nonBlock is given. */
  open(path: string, flags: number, mode?: number): Fd;
  /** Opens a path that cannot lead out of a folder. Source: openat2(2), Linux 5.6. */
  openBeneath(folder: Fd, path: PathBytes, flags: number, mode: number, resolve: number): Fd;
  close(fd: Fd): void;
  /** Reads into the buffer; 0 at the end. Source: read(2). Errors: SysError (EAGAIN on a non-blocking descriptor). */
  read(fd: Fd, into: Uint8Array): number;
  /** As `read`, of a non-blocking descriptor; undefined while there is nothing. For whoever asks again and again. */
  readNow(fd: Fd, into: Uint8Array): number | undefined;
  /**
   * Reads from an offset what memory holds of a file already; undefined where that would wait for the disk.
   * Source: preadv2(2), RWF_NOWAIT. Effects: does not block.
   */
  readCached(fd: Fd, into: Uint8Array, position: number): number | undefined;
  write(fd: Fd, bytes: Uint8Array): number;
  /** A pipe as [read end, write end], close-on-exec. Source: pipe2(2). */
  pipe(flags?: number): [Fd, Fd];
  /** Another descriptor for the same open file, close-on-exec. Source: fcntl(2), F_DUPFD_CLOEXEC. */
  duplicate(fd: Fd): Fd;
  /** Sets or clears O_NONBLOCK, which all descriptors of the open file share. Source: fcntl(2), F_SETFL. */
  setNonBlocking(fd: Fd, on: boolean): void;
  /** How many bytes a pipe or FIFO holds. Source: fcntl(2), F_GETPIPE_SZ. */
  pipeSize(fd: Fd): number;
  /** How many bytes a pipe or FIFO has that nobody has read yet. Source: pipe(7), FIONREAD. */
  unreadBytes(fd: Fd): number;
  /** Asks that a pipe or FIFO hold so many bytes; answers with how many it holds. Source: fcntl(2), F_SETPIPE_SZ. */
  setPipeSize(fd: Fd, bytes: number): number;
  /** Tries to take a lock on the open file without waiting; false when another holds it. Source: flock(2). */
  tryLock(fd: Fd, kind: number): boolean;
  /** Source: fsync(2). Effects: blocks until the disk has it; not for the event loop of a daemon. */
  fsync(fd: Fd): void;
  /** Source: syncfs(2). Effects: blocks until the whole filesystem is on disk; not for the event loop of a daemon. */
  syncfs(fd: Fd): void;
  /**
   * Begins to bring what was written to a file to disk, which a later sync then finds done; nothing is promised of it. A
   * descriptor for reading will do. Source: sync_file_range(2). Effects: may block while the disk has enough to do.
   */
  startWriteback(fd: Fd): void;
  /** Makes a FIFO, socket or device node. Source: mknod(2). */
  mknod(path: PathBytes, mode: number, major: number, minor: number): void;
  /** Makes a FIFO. Source: mkfifo(3). */
  mkfifo(path: PathBytes, mode: number): void;
  /** Sets both times of a path, never of what a symbolic link points to. Source: utimensat(2). */
  setTimes(path: PathBytes, accessed: FileTime | undefined, modified: FileTime | undefined): void;
}

const libc = lazyLibrary({
  open: { args: ["ptr", "i32", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: "i32" },
  preadv2: { args: ["i32", "ptr", "i32", "i64", "i32"], returns: "i64" },
  write: { args: ["i32", "ptr", "u64"], returns: "i32" },
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  fsync: { args: ["i32"], returns: "i32" },
  syncfs: { args: ["i32"], returns: "i32" },
  sync_file_range: { args: ["i32", "i64", "i64", "u32"], returns: "i32" },
  mknod: { args: ["ptr", "u32", "u64"], returns: "i32" },
  mkfifo: { args: ["ptr", "u32"], returns: "i32" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
});

/** RWF_NOWAIT. Source: linux/fs.h. */
const noWait = 8;
const lockNonBlocking = 4;
/** SYNC_FILE_RANGE_WRITE. Source: linux/fs.h. */
const rangeWrite = 2;
const [EWOULDBLOCK, EBADF] = ["EAGAIN", "EBADF"];

/** SAFETY: buffers live through the call; lengths come from the buffers. JUSTIFICATION: Node's fs pools block on FIFOs and hide errno. */
export const fileCalls: FileCalls = {
  open: (path, flags, mode = 0) => {
    const name = cString(path);
    return check("open", () => libc().open(name, flags | openFlags.closeOnExec, mode), path);
  },
  openBeneath: (folder, path, flags, mode, resolve) => {
    const how = new BigUint64Array([BigInt(flags | openFlags.closeOnExec), BigInt(mode), BigInt(resolve)]);
    return syscall("openat2", [folder, cString(path), how, how.byteLength], shown(path));
  },
  close: (fd) => {
    check("close", () => libc().close(fd));
  },
  read: (fd, into) => check("read", () => libc().read(fd, into, into.length)),
  readNow: (fd, into) => checkNow("read", () => libc().read(fd, into, into.length)),
  readCached: (fd, into, position) => {
    const vector = new BigUint64Array([BigInt(ptr(into)), BigInt(into.length)]);
    try {
      return check("preadv2", () => Number(libc().preadv2(fd, vector, 1, position, noWait)));
    } catch (error) {
      // Not in memory; or a filesystem that knows no such reading.
      if (isErrno(error, "EAGAIN", "EOPNOTSUPP", "ENOSYS")) return undefined;
      throw error;
    }
  },
  write: (fd, bytes) => check("write", () => libc().write(fd, bytes, bytes.length)),
  pipe: (flags = 0) => {
    const fds = new Int32Array(2);
    check("pipe2", () => libc().pipe2(fds, flags | openFlags.closeOnExec));
    return [fds[0] as number, fds[1] as number];
  },
  duplicate: (fd) => check("fcntl", () => libc().fcntl(fd, duplicate, 3)),
  setNonBlocking: (fd, on) => {
    const flags = check("fcntl", () => libc().fcntl(fd, getFlags, 0));
    const wanted = on ? flags | openFlags.nonBlock : flags & ~openFlags.nonBlock;
    if (wanted !== flags) check("fcntl", () => libc().fcntl(fd, setFlags, wanted));
  },
  pipeSize: (fd) => check("fcntl", () => libc().fcntl(fd, getPipeSize, 0)),
  unreadBytes: (fd) => {
    const count = new Int32Array(1);
    check("ioctl", () => libc().ioctl(fd, countUnread, count));
    return count[0] as number;
  },
  setPipeSize: (fd, bytes) => check("fcntl", () => libc().fcntl(fd, setPipeSize, bytes)),
  tryLock: (fd, kind) => {
    try {
      check("flock", () => libc().flock(fd, kind | lockNonBlocking));
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === EWOULDBLOCK) return false;
      throw error;
    }
  },
  fsync: (fd) => {
    check("fsync", () => libc().fsync(fd));
  },
  syncfs: (fd) => {
    check("syncfs", () => libc().syncfs(fd));
  },
  startWriteback: (fd) => {
    // Only a beginning: who syncs hears of what fails. Filesystems that know no such thing write in their own time.
    libc().sync_file_range(fd, 0, 0, rangeWrite);
  },
  mknod: (path, mode, major, minor) => {
    const name = cString(path);
    check("mknod", () => libc().mknod(name, mode, deviceNumber(major, minor)), shown(path));
  },
  mkfifo: (path, mode) => {
    const name = cString(path);
    check("mkfifo", () => libc().mkfifo(name, mode), shown(path));
  },
  setTimes: (path, accessed, modified) => {
    const name = cString(path);
    const times = new BigInt64Array([...timespec(accessed), ...timespec(modified)]);
    check("utimensat", () => libc().utimensat(currentFolder, name, times, noFollowSymlink), shown(path));
  },
};

function shown(path: PathBytes): string {
  return typeof path === "string" ? path : Buffer.from(path).toString();
}

/** Closes and says nothing of a descriptor that is not open any more: for clean-up paths. */
export function closeQuietly(kernel: Pick<FileCalls, "close">, fd: Fd): void {
  try {
    kernel.close(fd);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === EBADF)) throw error;
  }
}

/** glibc's encoding of a device number. Source: makedev(3), bits/sysmacros.h. */
export function deviceNumber(major: number, minor: number): bigint {
  const [ma, mi] = [BigInt(major), BigInt(minor)];
  return ((ma & 0xfffff000n) << 32n) | ((ma & 0xfffn) << 8n) | ((mi & 0xffffff00n) << 12n) | (mi & 0xffn);
}

/** UTIME_OMIT. Source: utimensat(2). */
const omitTime = (1n << 30n) - 2n;

function timespec(time: FileTime | undefined): [bigint, bigint] {
  return time === undefined ? [0n, omitTime] : [time.seconds, BigInt(time.nanoseconds)];
}
