import * as fs from "node:fs";
import type { ByteString } from "../lib/tar/index.ts";
import { byteString } from "../lib/tar/index.ts";
import { isErrno, type Kernel } from "../sys/index.ts";
import { pathBytes } from "./paths.ts";
import { serveJob } from "./serve-job.ts";
import {
  childName,
  deviceMajor,
  deviceMinor,
  inodeKey,
  lookAt,
  namesIn,
  type TreeFile,
  xattrsOf,
} from "./tree-scan.ts";

/** Copies a tree into an empty folder: owners, modes, times, links, nodes, attributes; blocks are shared where they can be. */
class TreeCopier {
  readonly #kernel: Kernel;
  readonly #from: ByteString;
  readonly #to: ByteString;
  /** The copies of files with several names. */
  readonly #copies = new Map<string, ByteString>();

  constructor(kernel: Kernel, from: ByteString, to: ByteString) {
    this.#kernel = kernel;
    this.#from = from;
    this.#to = to;
  }

  run(): void {
    const root = lookAt(this.#from, "");
    if (root === undefined) throw new Error("nothing to copy");
    this.#fill(root);
  }

  /** Copies what is in a folder, then the folder's own attributes, its times last. */
  #fill(folder: TreeFile): void {
    for (const name of namesIn(folder.path)) {
      const file = lookAt(this.#from, childName(folder.name, name));
      if (file !== undefined) this.#copy(file);
    }
    this.#attributes(folder, this.#target(folder));
  }

  #copy(file: TreeFile): void {
    const { stats } = file;
    const target = this.#target(file);
    if (stats.isSocket()) return;
    if (stats.isDirectory()) {
      fs.mkdirSync(pathBytes(target), 0o700);
      this.#fill(file);
      return;
    }
    if (stats.nlink > 1n) {
      const copy = this.#copies.get(inodeKey(stats));
      if (copy !== undefined) return fs.linkSync(pathBytes(copy), pathBytes(target));
      this.#copies.set(inodeKey(stats), target);
    }
    this.#create(file, target);
    this.#attributes(file, target);
  }

  #create({ path, stats }: TreeFile, target: ByteString): void {
    const [source, copy] = [pathBytes(path), pathBytes(target)];
    if (stats.isFile()) fs.copyFileSync(source, copy, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE);
    else if (stats.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(source, { encoding: "buffer" }), copy);
    else this.#kernel.mknod(copy, Number(stats.mode), deviceMajor(stats.rdev), deviceMinor(stats.rdev));
  }

  #attributes({ path, stats }: TreeFile, target: ByteString): void {
    const copy = pathBytes(target);
    fs.lchownSync(copy, Number(stats.uid), Number(stats.gid));
    for (const [name, value] of xattrsOf(this.#kernel, path, () => true)) {
      try {
        this.#kernel.setXattr(copy, name, value);
      } catch (error) {
        // What a security module keeps for itself cannot always be given to a copy.
        if (!isErrno(error, "EOPNOTSUPP", "EPERM", "EINVAL")) throw error;
      }
    }
    if (!stats.isSymbolicLink()) fs.chmodSync(copy, Number(stats.mode) & 0o7777);
    this.#kernel.setTimes(copy, fileTime(stats.atimeNs), fileTime(stats.mtimeNs));
  }

  #target(file: TreeFile): ByteString {
    return file.name === "" ? this.#to : `${this.#to}/${file.name}`;
  }
}

function fileTime(ns: bigint): { seconds: bigint; nanoseconds: number } {
  const nanoseconds = Number(((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  return { seconds: (ns - BigInt(nanoseconds)) / 1_000_000_000n, nanoseconds };
}

await serveJob<"copy-tree">(({ from, to }, kernel) => {
  new TreeCopier(kernel, byteString(from), byteString(to)).run();
  return {};
});
