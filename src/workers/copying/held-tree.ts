import * as fs from "node:fs";
import { FaultError, notFound, quote } from "../../lib/faults.ts";
import { type ByteString, byteString, displayName } from "../../lib/tar/index.ts";
import { archOpenFlags, isErrno, type Kernel, openFlags, resolveFlags } from "../../sys/index.ts";
import { pathBytes } from "../paths.ts";

/** Links are followed within the tree alone, and none of /proc's, which lead anywhere. */
const within = resolveFlags.inRoot | resolveFlags.noMagiclinks;
/** No link is followed at all. */
const straight = resolveFlags.beneath | resolveFlags.noSymlinks | resolveFlags.noMagiclinks;
const folderFlags = openFlags.readOnly | archOpenFlags.directory;

/**
 * A tree that somebody else may change meanwhile, a container's root: every folder is held by a descriptor, and files are
 * reached by their last name in it, so that no link put there leads out.
 */
export class HeldTree {
  readonly #kernel: Kernel;
  readonly #root: number;

  /** @param root a descriptor of the tree's top, which stays the caller's. */
  constructor(kernel: Kernel, root: number) {
    this.#kernel = kernel;
    this.#root = root;
  }

  /** Opens a folder by a path from the top. Errors: notFound, invalidArgument (no folder, links that go round). */
  folder(path: ByteString): HeldFolder {
    try {
      const fd = this.#kernel.openBeneath(this.#root, pathBytes(path === "" ? "." : path), folderFlags, 0, within);
      return new HeldFolder(this.#kernel, fd);
    } catch (error) {
      throw pathFault(path, error);
    }
  }

  /** As `folder`; undefined when it, or one on the way, is not there. */
  findFolder(path: ByteString): HeldFolder | undefined {
    try {
      return this.folder(path);
    } catch (error) {
      if (error instanceof FaultError && error.kind === "notFound") return undefined;
      throw error;
    }
  }
}

/** A folder that is held open. Names are single ones: no slash, none of the dots. */
export class HeldFolder implements Disposable {
  readonly fd: number;
  readonly #kernel: Kernel;

  constructor(kernel: Kernel, fd: number) {
    this.#kernel = kernel;
    this.fd = fd;
  }

  /** Where a name in it lies: calls that don't follow a link at a path's end stay in the folder. */
  at(name: ByteString): Buffer {
    return pathBytes(`/proc/self/fd/${this.fd}/${name}`);
  }

  look(name: ByteString): fs.BigIntStats | undefined {
    return fs.lstatSync(this.at(name), { bigint: true, throwIfNoEntry: false });
  }

  /** What the folder itself is. */
  stats(): fs.BigIntStats {
    return fs.fstatSync(this.fd, { bigint: true });
  }

  /** In the order of their bytes. */
  names(): ByteString[] {
    const found = fs.readdirSync(`/proc/self/fd/${this.fd}`, { encoding: "buffer" });
    return found.map((name) => name.toString("latin1")).sort();
  }

  /** A folder in it; undefined when there is none of that name, or a link or file. */
  child(name: ByteString): HeldFolder | undefined {
    const flags = folderFlags | archOpenFlags.noFollow;
    const fd = this.#tryOpen(name, flags);
    return fd === undefined ? undefined : new HeldFolder(this.#kernel, fd);
  }

  /** A file in it, for reading; undefined when it is none any more. Effects: does not wait for a FIFO's other end. */
  file(name: ByteString): number | undefined {
    const flags = openFlags.readOnly | openFlags.nonBlock | openFlags.noCtty | archOpenFlags.noFollow;
    const fd = this.#tryOpen(name, flags);
    if (fd === undefined || fs.fstatSync(fd).isFile()) return fd;
    fs.closeSync(fd);
    return undefined;
  }

  /** Takes a name away that is no folder. */
  unlink(name: ByteString): void {
    fs.unlinkSync(this.at(name));
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.fd);
  }

  #tryOpen(name: ByteString, flags: number): number | undefined {
    try {
      return this.#kernel.openBeneath(this.fd, pathBytes(name), flags, 0, straight);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ELOOP", "ENOTDIR", "ENXIO", "EXDEV")) return undefined;
      throw error;
    }
  }
}

/** A path of a caller's, from the tree's top. */
export interface TreePath {
  /** The folder that the last name is in; empty for the top. */
  readonly folder: ByteString;
  /** The last name; empty where the path says that it means a folder and what is in it: the top, `x/.`, `x/..`. */
  readonly base: ByteString;
  /** It ends with a slash: a link at its end is followed. */
  readonly isFolder: boolean;
}

export function treePath(text: string): TreePath {
  const path = byteString(text);
  const isFolder = path.endsWith("/");
  const whole = path.replace(/\/+$/, "");
  const slash = whole.lastIndexOf("/");
  const base = whole.slice(slash + 1);
  if (base === "" || base === "." || base === "..") return { folder: whole, base: "", isFolder: true };
  return { folder: slash <= 0 ? "" : whole.slice(0, slash), base, isFolder };
}

function pathFault(path: ByteString, error: unknown): unknown {
  const shown = quote(`/${displayName(path).replace(/^\/+/, "")}`);
  if (isErrno(error, "ENOENT")) return notFound(`path ${shown} in the container`);
  if (isErrno(error, "ENOTDIR")) return new FaultError("invalidArgument", `path ${shown} is not a folder`);
  if (isErrno(error, "ELOOP")) {
    return new FaultError("invalidArgument", `path ${shown} has links that go round, or lead out of the container`);
  }
  return error;
}
