import * as fs from "node:fs";
import { FaultError } from "../../lib/faults.ts";
import { type ByteString, displayName, type TarEntry, type TarTime } from "../../lib/tar/index.ts";
import { isErrno, type Kernel } from "../../sys/index.ts";
import { pathBytes } from "../paths.ts";

const maxDevice = 0xffffffff;
/** A file of this size goes to the disk at once, in pieces of as much: the sync of an image's end would wait for all of them. */
const writebackBytes = 64 * 1024;
const writebackStep = 8 * 2 ** 20;

/** Makes one file, folder, link or node at a time in the tree that is this thread's root. */
export class FileWriter {
  readonly #kernel: Kernel;
  readonly #note: (text: string) => void;
  readonly #devices: boolean;
  #fd = -1;
  #written = 0;
  /** Bytes since the disk was given some. */
  #held = 0;

  /** @param devices whether device nodes can be made; where not, they are left out with a note. */
  constructor(kernel: Kernel, devices: boolean, note: (text: string) => void) {
    this.#kernel = kernel;
    this.#devices = devices;
    this.#note = note;
  }

  /** Makes a folder, or takes the one that is there; true when it was made. */
  folder(path: ByteString, entry: TarEntry): boolean {
    const bytes = pathBytes(`/${path}`);
    const made = this.#exclusively(bytes, () => fs.mkdirSync(bytes, entry.mode & 0o777), true);
    this.#attributes(bytes, entry);
    return made;
  }

  /** Makes a file, whose data follows. */
  startFile(path: ByteString, entry: TarEntry): void {
    const bytes = pathBytes(`/${path}`);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
    this.#exclusively(bytes, () => {
      this.#fd = fs.openSync(bytes, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, entry.mode & 0o777);
    });
    this.#written = 0;
    this.#held = 0;
  }

  data(bytes: Uint8Array, offset: number): void {
    for (let at = 0; at < bytes.length; ) {
      at += fs.writeSync(this.#fd, bytes, at, bytes.length - at, offset + at);
    }
    this.#written = offset + bytes.length;
    this.#held += bytes.length;
    if (this.#held >= writebackStep) this.#startWriteback();
  }

  endFile(path: ByteString, entry: TarEntry): void {
    const fd = this.#fd;
    this.#fd = -1;
    const bytes = pathBytes(`/${path}`);
    try {
      if (this.#written < entry.sizeBytes) fs.ftruncateSync(fd, entry.sizeBytes);
      fs.fchownSync(fd, entry.uid, entry.gid);
      this.#xattrs(bytes, entry);
      // After the owner, whose change takes the set-id bits away.
      fs.fchmodSync(fd, entry.mode);
      if (isWhole(entry)) fs.futimesSync(fd, (entry.atime ?? entry.mtime).seconds, entry.mtime.seconds);
      if (this.#held >= writebackBytes) this.#startWriteback(fd);
    } finally {
      fs.closeSync(fd);
    }
    if (!isWhole(entry)) this.setTimes(path, entry);
  }

  symlink(path: ByteString, entry: TarEntry): void {
    const bytes = pathBytes(`/${path}`);
    this.#exclusively(bytes, () => fs.symlinkSync(pathBytes(entry.linkName), bytes));
    this.#attributes(bytes, entry);
    this.setTimes(path, entry);
  }

  /** @param target the real path of what is linked to. */
  hardlink(path: ByteString, target: ByteString, entry: TarEntry): void {
    const bytes = pathBytes(`/${path}`);
    // Linking a file to itself would begin with removing it.
    if (path === target) return;
    this.#exclusively(bytes, () => fs.linkSync(pathBytes(`/${target}`), bytes));
    const { uid, gid } = fs.lstatSync(bytes);
    // The file has its capability by now, which a change of owner takes away; not every archive tells of it again.
    this.#attributes(bytes, entry, uid !== entry.uid || gid !== entry.gid);
    this.setTimes(path, entry);
  }

  /** Makes a device node or FIFO; false where that is not possible. */
  node(path: ByteString, entry: TarEntry): boolean {
    if (entry.kind !== "fifo" && !this.#devices) {
      this.#note(`${displayName(path)}: no device nodes in a user namespace`);
      return false;
    }
    const { devMajor, devMinor } = entry;
    if (devMajor < 0 || devMajor > maxDevice || devMinor < 0 || devMinor > maxDevice) {
      throw new FaultError("invalidArgument", `device number ${devMajor}:${devMinor} out of range: invalid archive`);
    }
    const { S_IFBLK, S_IFCHR, S_IFIFO } = fs.constants;
    const type = entry.kind === "block" ? S_IFBLK : entry.kind === "character" ? S_IFCHR : S_IFIFO;
    const bytes = pathBytes(`/${path}`);
    this.#exclusively(bytes, () => this.#kernel.mknod(bytes, type | (entry.mode & 0o777), devMajor, devMinor));
    this.#attributes(bytes, entry);
    this.setTimes(path, entry);
    return true;
  }

  setTimes(path: ByteString, entry: Pick<TarEntry, "mtime" | "atime">): void {
    this.#kernel.setTimes(pathBytes(`/${path}`), fileTime(latest(entry)), fileTime(entry.mtime));
  }

  /** Called for every folder or link that makes room for something else. */
  removed: () => void = () => {};

  #startWriteback(fd = this.#fd): void {
    this.#held = 0;
    this.#kernel.startWriteback(fd);
  }

  /** Runs what must find nothing at its path; what is there goes first, unless it is a folder that may stay. */
  #exclusively(bytes: Buffer, make: () => void, keepFolder = false): boolean {
    try {
      make();
      return true;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    const stats = fs.lstatSync(bytes);
    if (keepFolder && stats.isDirectory()) return false;
    fs.rmSync(bytes, { recursive: true, force: true });
    if (stats.isDirectory() || stats.isSymbolicLink()) this.removed();
    make();
    return true;
  }

  #attributes(bytes: Buffer, entry: TarEntry, ownerToo = true): void {
    if (ownerToo) fs.lchownSync(bytes, entry.uid, entry.gid);
    this.#xattrs(bytes, entry);
    if (entry.kind === "symlink") return;
    // A hardlink to a symbolic link has no mode of its own, either.
    if (entry.kind === "hardlink" && fs.lstatSync(bytes).isSymbolicLink()) return;
    fs.chmodSync(bytes, entry.mode);
  }

  #xattrs(bytes: Buffer, entry: TarEntry): void {
    for (const [name, value] of entry.xattrs) {
      // Trusted attributes are the host's own; overlay's would hide or redirect files.
      if (name.startsWith("trusted.") || name.startsWith("user.overlay.")) {
        this.#note(`${displayName(entry.name)}: attribute ${displayName(name)} left out`);
        continue;
      }
      try {
        this.#kernel.setXattr(bytes, displayName(name), value);
      } catch (error) {
        const odd = name.startsWith("user.") && entry.kind !== "file" && entry.kind !== "directory";
        if (!isErrno(error, "EOPNOTSUPP") && !(odd && isErrno(error, "EPERM"))) throw error;
        this.#note(`${displayName(entry.name)}: attribute ${displayName(name)} is not kept here`);
      }
    }
  }
}

function latest({ atime, mtime }: Pick<TarEntry, "mtime" | "atime">): TarTime {
  if (atime === undefined) return mtime;
  const later = atime.seconds > mtime.seconds || (atime.seconds === mtime.seconds && atime.nanos > mtime.nanos);
  return later ? atime : mtime;
}

function fileTime({ seconds, nanos }: TarTime): { seconds: bigint; nanoseconds: number } {
  return { seconds: BigInt(seconds), nanoseconds: nanos };
}

/**
 * True when times have no fraction, so that the runtime's own call, which takes floating point, keeps them exactly; it takes
 * what lies before 1970 for now.
 */
function isWhole({ mtime, atime }: TarEntry): boolean {
  return mtime.nanos === 0 && mtime.seconds >= 0 && atime === undefined;
}
