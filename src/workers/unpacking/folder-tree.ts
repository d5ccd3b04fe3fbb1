import * as fs from "node:fs";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { type ByteString, displayName } from "../../lib/tar/index.ts";
import { isErrno, type Kernel, openFlags, resolveFlags } from "../../sys/index.ts";
import type { EnteredTree } from "../enter-tree.ts";
import { baseOf, folderOf, pathBytes } from "../paths.ts";

/** As the kernel follows links. Source: path_resolution(7). */
const maxLinks = 40;

/**
 * The folders of the tree that is this thread's root. Names are resolved link by link, so that what it answers holds no link.
 * Shape: paths are clean names, empty for the top.
 */
export class FolderTree {
  readonly #kernel: Kernel;
  readonly #tree: EnteredTree;
  /** Real folders that are known to be there. */
  readonly #real = new Set<ByteString>([""]);
  /** What a name given by the archive resolves to. */
  readonly #resolved = new Map<ByteString, ByteString>();
  /** Called with each folder that had to be made. */
  readonly #made: (folder: ByteString) => void;

  constructor(kernel: Kernel, tree: EnteredTree, made: (folder: ByteString) => void) {
    this.#kernel = kernel;
    this.#tree = tree;
    this.#made = made;
  }

  /** The real folder behind a name, made where it is not there. Errors: invalidArgument (it is no folder, or links go round). */
  resolve(name: ByteString): ByteString {
    if (this.#real.has(name)) return name;
    let real = this.#resolved.get(name);
    if (real === undefined) {
      real = this.#walk("", name, 0);
      this.#resolved.set(name, real);
    }
    return real;
  }

  /** Notes a folder that was just made. */
  add(folder: ByteString): void {
    this.#real.add(folder);
  }

  /** Forgets what may have changed because a folder or link went away. */
  forget(): void {
    this.#real.clear();
    this.#real.add("");
    this.#resolved.clear();
  }

  #walk(from: ByteString, path: ByteString, links: number): ByteString {
    let at = from;
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      at = part === ".." ? folderOf(at) : this.#step(at, part, links);
    }
    return at;
  }

  #step(parent: ByteString, part: ByteString, links: number): ByteString {
    const path = parent === "" ? part : `${parent}/${part}`;
    if (this.#real.has(path)) return path;
    const stats = fs.lstatSync(pathBytes(`/${path}`), { throwIfNoEntry: false });
    if (stats === undefined) this.#make(path);
    else if (stats.isSymbolicLink()) return this.#follow(parent, path, links);
    else if (!stats.isDirectory()) {
      throw new FaultError("invalidArgument", `parent ${JSON.stringify(displayName(path))}: not a directory`);
    }
    this.#real.add(path);
    return path;
  }

  #follow(parent: ByteString, path: ByteString, links: number): ByteString {
    if (links >= maxLinks) throw new FaultError("invalidArgument", "too many levels of symbolic links");
    const target = fs.readlinkSync(pathBytes(`/${path}`), { encoding: "buffer" }).toString("latin1");
    return this.#walk(target.startsWith("/") ? "" : parent, target, links + 1);
  }

  /** A folder that the archive leaves out looks as it does below, when it is there. */
  #make(path: ByteString): void {
    fs.mkdirSync(pathBytes(`/${path}`), 0o755);
    this.#made(path);
    this.likeBelow(path);
  }

  /** Gives a folder the looks that it has in the layers below, where it is in one; links in its name are not followed. */
  likeBelow(path: ByteString): void {
    const bytes = pathBytes(`/${path}`);
    const like = this.#below(path);
    if (like === undefined || fs.lstatSync(bytes, { throwIfNoEntry: false })?.isDirectory() !== true) return;
    fs.lchownSync(bytes, like.uid, like.gid);
    fs.chmodSync(bytes, like.mode & 0o7777);
    this.#kernel.setTimes(bytes, undefined, timeOf(like.mtimeNs));
  }

  #below(path: ByteString): { uid: number; gid: number; mode: number; mtimeNs: bigint } | undefined {
    for (const folder of this.#tree.lowerFds) {
      const stats = this.#statBelow(folder, path);
      if (stats === undefined) continue;
      if (!stats.isDirectory()) return undefined;
      return { uid: Number(stats.uid), gid: Number(stats.gid), mode: Number(stats.mode), mtimeNs: stats.mtimeNs };
    }
    return undefined;
  }

  #statBelow(folder: number, path: ByteString): fs.BigIntStats | undefined {
    try {
      const flags = openFlags.path | fs.constants.O_NOFOLLOW;
      const fd = this.#kernel.openBeneath(
        folder,
        pathBytes(path),
        flags,
        0,
        resolveFlags.inRoot | resolveFlags.noMagiclinks,
      );
      try {
        return fs.fstatSync(fd, { bigint: true });
      } finally {
        fs.closeSync(fd);
      }
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw new FaultError("unknown", `stat ${displayName(baseOf(path))} below: ${messageOf(error)}`, { cause: error });
    }
  }
}

function timeOf(ns: bigint): { seconds: bigint; nanoseconds: number } {
  const nanoseconds = Number(((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  return { seconds: (ns - BigInt(nanoseconds)) / 1_000_000_000n, nanoseconds };
}
