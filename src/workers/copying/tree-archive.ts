import * as fs from "node:fs";
import { FaultError, notFound, quote } from "../../lib/faults.ts";
import { type ByteString, displayName, encodeHeader, endMark, paddingFor, type TarEntry } from "../../lib/tar/index.ts";
import type { Kernel } from "../../sys/index.ts";
import { kindOf } from "../diffing/layer-writer.ts";
import { deviceMajor, deviceMinor, inodeKey, xattrsOf } from "../tree-scan.ts";
import { type HeldFolder, type HeldTree, treePath } from "./held-tree.ts";

export interface TreeArchiveOptions {
  readonly kernel: Kernel;
  readonly tree: HeldTree;
  readonly path: string;
  /** Only the file or folder itself. */
  readonly noWalk: boolean;
  /** Takes the archive's bytes, which are only lent. */
  readonly write: (bytes: Uint8Array) => void;
}

/** Filesystems that the kernel makes up: of them there is nothing to copy. Source: linux/magic.h. */
const kernelFilesystems: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x1cd1, // devpts
  0x19800202, // mqueue
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xcafe4a11, // bpf
  0x42494e4d, // binfmt_misc
]);

const pieceBytes = 1 << 18;

/**
 * Writes what is at a path as a tar archive, under its last name, as `docker cp` does; `x/.` is what is in x.
 * Shape: sockets, and what is in filesystems that the kernel makes up, are left out.
 * Errors: notFound, invalidArgument (a file of the kernel's, no folder), unknown (a file that became shorter meanwhile).
 */
export function* archiveTree(options: TreeArchiveOptions): Generator<void> {
  const { tree, path } = options;
  const { folder, base, isFolder } = treePath(path);
  const writer = new ArchiveWriter(options);
  if (base === "") {
    using top = tree.folder(folder);
    yield* writer.folder(top, ".");
  } else if (isFolder) {
    using top = tree.folder(`${folder}/${base}`);
    yield* writer.folder(top, base);
  } else {
    using parent = tree.folder(folder);
    if (parent.look(base) === undefined) throw notFound(`path ${quote(path)} in the container`);
    yield* writer.member(parent, base, base);
  }
  options.write(endMark);
}

class ArchiveWriter {
  readonly #options: TreeArchiveOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(pieceBytes);
  /** The name under which a file with several is in the archive. */
  readonly #sources = new Map<string, ByteString>();

  constructor(options: TreeArchiveOptions) {
    this.#options = options;
  }

  *folder(folder: HeldFolder, name: ByteString): Generator<void> {
    if (isKernels(folder.fd)) throw refused(name);
    yield* this.#folder(folder, name);
  }

  /** Anything in a folder that is held. */
  *member(parent: HeldFolder, base: ByteString, name: ByteString): Generator<void> {
    if (isKernels(parent.fd)) throw refused(name);
    yield* this.#member(parent, base, name);
  }

  *#member(parent: HeldFolder, base: ByteString, name: ByteString): Generator<void> {
    const stats = parent.look(base);
    // It went meanwhile.
    if (stats === undefined || stats.isSocket()) return;
    if (stats.isDirectory()) {
      using folder = parent.child(base);
      if (folder !== undefined) yield* this.#folder(folder, name);
      return;
    }
    const source = stats.nlink > 1n ? this.#sources.get(inodeKey(stats)) : undefined;
    if (source !== undefined) {
      const link = { ...this.#entry(parent.at(base), name, stats), kind: "hardlink", linkName: source } as const;
      this.#options.write(encodeHeader({ ...link, sizeBytes: 0 }, true));
    } else if (stats.isFile()) yield* this.#file(parent, base, name);
    else this.#options.write(encodeHeader(this.#entry(parent.at(base), name, stats), true));
    if (stats.nlink > 1n && source === undefined) this.#sources.set(inodeKey(stats), name);
  }

  *#folder(folder: HeldFolder, name: ByteString): Generator<void> {
    const path = Buffer.from(`/proc/self/fd/${folder.fd}/.`);
    this.#options.write(encodeHeader(this.#entry(path, `${name}/`, folder.stats()), true));
    yield;
    if (this.#options.noWalk || isKernels(folder.fd)) return;
    for (const base of folder.names()) yield* this.#member(folder, base, `${name}/${base}`);
  }

  *#file(parent: HeldFolder, base: ByteString, name: ByteString): Generator<void> {
    const fd = parent.file(base);
    if (fd === undefined) return;
    try {
      const { write } = this.#options;
      const entry = this.#entry(parent.at(base), name, fs.fstatSync(fd, { bigint: true }));
      write(encodeHeader(entry, true));
      for (let left = entry.sizeBytes; left > 0; ) {
        const count = fs.readSync(fd, this.#buffer, 0, Math.min(left, this.#buffer.length), null);
        if (count === 0) throw new FaultError("unknown", `${displayName(name)} became shorter while it was read`);
        write(this.#buffer.subarray(0, count));
        left -= count;
        yield;
      }
      write(paddingFor(entry.sizeBytes));
    } finally {
      fs.closeSync(fd);
    }
  }

  #entry(path: Buffer, name: ByteString, stats: fs.BigIntStats): TarEntry {
    const kind = kindOf(stats);
    const nanos = ((stats.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    const device = kind === "character" || kind === "block";
    return {
      name,
      linkName: kind === "symlink" ? fs.readlinkSync(path, { encoding: "buffer" }).toString("latin1") : "",
      kind,
      mode: Number(stats.mode) & 0o7777,
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      sizeBytes: kind === "file" ? Number(stats.size) : 0,
      mtime: { seconds: Number((stats.mtimeNs - nanos) / 1_000_000_000n), nanos: Number(nanos) },
      devMajor: device ? deviceMajor(stats.rdev) : 0,
      devMinor: device ? deviceMinor(stats.rdev) : 0,
      xattrs: xattrsOf(this.#options.kernel, path.toString("latin1"), isCopied),
    };
  }
}

function isCopied(name: string): boolean {
  return name === "security.capability" || (name.startsWith("user.") && !name.startsWith("user.overlay."));
}

function isKernels(fd: number): boolean {
  return kernelFilesystems.has(fs.statfsSync(`/proc/self/fd/${fd}`).type >>> 0);
}

function refused(name: ByteString): FaultError {
  return new FaultError("invalidArgument", `${quote(displayName(name))} is in a filesystem that the kernel makes up`);
}
