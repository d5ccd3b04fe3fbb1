import * as fs from "node:fs";
import { FaultError, failedPrecondition, invalidArgument, quote } from "../../lib/faults.ts";
import { type ByteString, displayName, type TarEntry, type TarSink } from "../../lib/tar/index.ts";
import { isErrno, type Kernel } from "../../sys/index.ts";
import type { UnpackLimits } from "../jobs.ts";
import { baseOf, cleanName, folderOf } from "../paths.ts";
import type { HeldFolder, HeldTree } from "./held-tree.ts";

export interface TreeUnpackerOptions {
  readonly kernel: Kernel;
  readonly tree: HeldTree;
  /** The folder that the archive's names are in, from the tree's top. */
  readonly target: ByteString;
  /** Owners are those of the archive; else all is this process's. */
  readonly preserveOwnership: boolean;
  readonly limits: UnpackLimits;
}

const maxDevice = 0xffffffff;
const { O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW } = fs.constants;

/**
 * Puts an archive's members into a folder of a tree that somebody else may change meanwhile, as `docker cp` does: files
 * replace files, folders join folders, and neither takes the other's place.
 * Errors: failedPrecondition (a folder where a file is to be, or the other way round), invalidArgument, resourceExhausted.
 */
export class TreeUnpacker implements TarSink {
  readonly #options: TreeUnpackerOptions;
  readonly #folders: { readonly name: ByteString; readonly entry: TarEntry }[] = [];
  /** The folder of the last member, which mostly is the next one's, too. */
  #last: { readonly name: ByteString; readonly folder: HeldFolder } | undefined;
  #file: { readonly folder: HeldFolder; readonly base: ByteString; readonly entry: TarEntry; fd: number } | undefined;
  #entries = 0;
  #bytes = 0;

  constructor(options: TreeUnpackerOptions) {
    this.#options = options;
  }

  entry(entry: TarEntry): void {
    this.#account(entry);
    const name = cleanName(entry.name);
    if (name === undefined) throw invalidArgument("name leads out of the archive");
    // The target's own looks are the container's.
    if (name === "") return;
    const folder = this.#folderOf(folderOf(name));
    const base = baseOf(name);
    if (entry.kind === "directory") this.#makeFolder(folder, base, name, entry);
    else if (entry.kind === "file") this.#startFile(folder, base, entry);
    else this.#makeOther(folder, base, entry);
  }

  data(bytes: Uint8Array, offset: number): void {
    if (this.#file === undefined) return;
    for (let at = 0; at < bytes.length; ) {
      at += fs.writeSync(this.#file.fd, bytes, at, bytes.length - at, offset + at);
    }
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    const { fd, folder, base, entry } = file;
    try {
      fs.ftruncateSync(fd, entry.sizeBytes);
      if (this.#options.preserveOwnership) fs.fchownSync(fd, entry.uid, entry.gid);
      this.#xattrs(folder.at(base), entry);
      // After the owner, whose change takes the set-id bits away.
      fs.fchmodSync(fd, entry.mode);
    } finally {
      fs.closeSync(fd);
    }
    this.#times(folder, base, entry);
  }

  /** Call when the archive is through. */
  finish(): void {
    for (const { name, entry } of this.#folders.toReversed()) {
      const folder = this.#folderOf(folderOf(name));
      try {
        this.#times(folder, baseOf(name), entry);
      } catch (error) {
        // Somebody took it away meanwhile.
        if (!isErrno(error, "ENOENT")) throw error;
      }
    }
    this.#forget();
  }

  #folderOf(name: ByteString): HeldFolder {
    if (this.#last?.name === name) return this.#last.folder;
    this.#forget();
    const { tree, target } = this.#options;
    const path = `${target}/${name}`;
    const folder = tree.findFolder(path) ?? this.#makePath(name);
    this.#last = { name, folder };
    return folder;
  }

  #forget(): void {
    this.#last?.folder[Symbol.dispose]();
    this.#last = undefined;
  }

  /** Makes the folders that the archive does not describe. */
  #makePath(name: ByteString): HeldFolder {
    const { tree, target } = this.#options;
    // The target itself is there, or that is what is wrong.
    if (name === "") return tree.folder(target);
    const parent = folderOf(name);
    using above = tree.findFolder(`${target}/${parent}`) ?? this.#makePath(parent);
    try {
      fs.mkdirSync(above.at(baseOf(name)), 0o755);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    return tree.folder(`${target}/${name}`);
  }

  #makeFolder(parent: HeldFolder, base: ByteString, name: ByteString, entry: TarEntry): void {
    try {
      fs.mkdirSync(parent.at(base), 0o700);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    using folder = parent.child(base);
    if (folder === undefined) {
      throw failedPrecondition(`cannot overwrite non-directory ${shown(name)} with a folder`);
    }
    if (this.#options.preserveOwnership) fs.fchownSync(folder.fd, entry.uid, entry.gid);
    this.#xattrs(parent.at(base), entry);
    fs.fchmodSync(folder.fd, entry.mode);
    this.#folders.push({ name, entry });
  }

  #startFile(folder: HeldFolder, base: ByteString, entry: TarEntry): void {
    const path = folder.at(base);
    const kept = this.#makeRoom(folder, base);
    const flags = kept ? O_WRONLY | O_TRUNC | O_NOFOLLOW : O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    this.#file = { folder, base, entry, fd: fs.openSync(path, flags, 0o600) };
  }

  #makeOther(folder: HeldFolder, base: ByteString, entry: TarEntry): void {
    const path = folder.at(base);
    const source = entry.kind === "hardlink" ? this.#linkSource(entry) : undefined;
    using held = source?.folder;
    if (this.#makeRoom(folder, base)) throw failedPrecondition(`${shown(base)} is mounted, and can't be replaced`);
    if (source !== undefined && held !== undefined) {
      fs.linkSync(held.at(source.base), path);
      return;
    }
    if (entry.kind === "symlink") fs.symlinkSync(Buffer.from(entry.linkName, "latin1"), path);
    else this.#makeNode(path, entry);
    if (this.#options.preserveOwnership) fs.lchownSync(path, entry.uid, entry.gid);
    this.#times(folder, base, entry);
  }

  #makeNode(path: Buffer, { kind, mode, devMajor, devMinor }: TarEntry): void {
    if (devMajor < 0 || devMajor > maxDevice || devMinor < 0 || devMinor > maxDevice) {
      throw invalidArgument(`device number ${devMajor}:${devMinor} out of range`);
    }
    const { S_IFBLK, S_IFCHR, S_IFIFO } = fs.constants;
    const type = kind === "block" ? S_IFBLK : kind === "character" ? S_IFCHR : S_IFIFO;
    this.#options.kernel.mknod(path, type | mode, devMajor, devMinor);
  }

  #linkSource(entry: TarEntry): { readonly folder: HeldFolder; readonly base: ByteString } {
    const name = cleanName(entry.linkName);
    if (name === undefined || name === "") throw invalidArgument("hard link leads out of the archive");
    const { tree, target } = this.#options;
    return { folder: tree.folder(`${target}/${folderOf(name)}`), base: baseOf(name) };
  }

  /** Takes away what is in the way, but for a folder; true where it is mounted there and stays, to be written to. */
  #makeRoom(folder: HeldFolder, base: ByteString): boolean {
    const stats = folder.look(base);
    if (stats === undefined) return false;
    if (stats.isDirectory()) throw failedPrecondition(`cannot overwrite directory ${shown(base)} with a file`);
    try {
      folder.unlink(base);
    } catch (error) {
      // /etc/hosts and its like are files that are mounted.
      if (isErrno(error, "EBUSY") && stats.isFile()) return true;
      if (!isErrno(error, "ENOENT")) throw error;
    }
    return false;
  }

  #xattrs(path: Buffer, entry: TarEntry): void {
    for (const [name, value] of entry.xattrs) {
      // Trusted attributes are the host's own; overlay's would hide or redirect files.
      if (name.startsWith("trusted.") || name.startsWith("user.overlay.")) continue;
      try {
        this.#options.kernel.setXattr(path, displayName(name), value);
      } catch (error) {
        if (!isErrno(error, "EOPNOTSUPP")) throw error;
      }
    }
  }

  #times(folder: HeldFolder, base: ByteString, { mtime, atime = mtime }: TarEntry): void {
    const time = ({ seconds, nanos }: typeof mtime) => ({ seconds: BigInt(seconds), nanoseconds: nanos });
    this.#options.kernel.setTimes(folder.at(base), time(atime), time(mtime));
  }

  #account(entry: TarEntry): void {
    this.#entries++;
    this.#bytes += entry.sizeBytes;
    const { maxEntries, maxBytes } = this.#options.limits;
    if (this.#entries > maxEntries) throw new FaultError("resourceExhausted", `more than ${maxEntries} entries`);
    if (this.#bytes > maxBytes) throw new FaultError("resourceExhausted", `more than ${maxBytes} bytes of files`);
  }
}

function shown(name: ByteString): string {
  return quote(displayName(name));
}
