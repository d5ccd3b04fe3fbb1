import * as fs from "node:fs";
import { FaultError } from "../../lib/faults.ts";
import {
  type ByteString,
  displayName,
  encodeHeader,
  endMark,
  noXattrs,
  paddingFor,
  type TarEntry,
  type TarKind,
  zeroTime,
} from "../../lib/tar/index.ts";
import type { Kernel } from "../../sys/index.ts";
import { baseOf, folderOf, pathBytes } from "../paths.ts";
import { deviceMajor, deviceMinor, inodeKey, lookAt, type TreeFile, xattrsOf } from "../tree-scan.ts";
import type { Change } from "./changes.ts";

export interface LayerWriterOptions {
  readonly kernel: Kernel;
  /** The top of the tree that the changes lead to. */
  readonly root: ByteString;
  /** No time in the archive is later. */
  readonly latestSeconds: number | undefined;
  /** Takes the archive's bytes, which are only lent. */
  readonly write: (bytes: Uint8Array) => void;
}

/**
 * Writes changes as a layer: added and modified files, marks for those that went, folders before what is in them, files
 * with several names once and then as links.
 * Shape: the same trees give the same bytes, those that containerd writes for them; extended attributes are
 * security.capability, and those of users, which containerd leaves out.
 * Source: containerd pkg/archive/tar.go, ChangeWriter; OCI image-spec layer.md.
 */
export class LayerWriter {
  readonly #options: LayerWriterOptions;
  /** The name under which a file with several is in the archive. */
  readonly #sources = new Map<string, ByteString>();
  /** Names of files with several that did not change, for when another name of theirs turns out to be new. */
  readonly #unchanged = new Map<string, TreeFile[]>();
  readonly #folders = new Set<ByteString>([""]);
  readonly #buffer = Buffer.allocUnsafeSlow(1 << 20);

  constructor(options: LayerWriterOptions) {
    this.#options = options;
  }

  /** Shape: stops after each piece of a file's data, so that its caller can wait for the bytes to go out. */
  *add(change: Change): Generator<void> {
    if (change.kind === "delete") this.#writeWhiteout(change.name);
    else yield* this.#addFile(change.file, change.kind === "unmodified");
  }

  finish(): void {
    this.#options.write(endMark);
  }

  #writeWhiteout(name: ByteString): void {
    const folder = folderOf(name);
    this.#writeFolders(folder);
    const mark = `${folder === "" ? "" : `${folder}/`}.wh.${baseOf(name)}`;
    this.#options.write(
      encodeHeader({
        name: mark,
        linkName: "",
        kind: "file",
        mode: 0,
        uid: 0,
        gid: 0,
        sizeBytes: 0,
        mtime: zeroTime,
        devMajor: 0,
        devMinor: 0,
        xattrs: noXattrs,
      }),
    );
  }

  *#addFile(file: TreeFile, unmodified: boolean): Generator<void> {
    const { stats } = file;
    if (stats.isSocket()) return;
    if (stats.isDirectory()) return this.#writeFolders(file.name);
    if (stats.nlink <= 1n) return yield* this.#writeFile(file);
    const inode = inodeKey(stats);
    const source = this.#sources.get(inode);
    if (source !== undefined) return this.#writeLink(file, source);
    const others = this.#unchanged.get(inode) ?? [];
    if (unmodified) {
      this.#unchanged.set(inode, [...others, file]);
      return;
    }
    this.#unchanged.delete(inode);
    this.#sources.set(inode, file.name);
    yield* this.#writeFile(file);
    for (const other of others) this.#writeLink(other, file.name);
  }

  /** A folder and those on the way to it, each once. */
  #writeFolders(folder: ByteString): void {
    if (this.#folders.has(folder)) return;
    this.#writeFolders(folderOf(folder));
    this.#folders.add(folder);
    const file = lookAt(this.#options.root, folder);
    if (file === undefined) throw new FaultError("unknown", `folder ${JSON.stringify(displayName(folder))} went away`);
    this.#options.write(encodeHeader(this.#entryOf(file)));
  }

  *#writeFile(file: TreeFile): Generator<void> {
    this.#writeFolders(folderOf(file.name));
    const entry = this.#entryOf(file);
    this.#options.write(encodeHeader(entry));
    if (entry.sizeBytes > 0) yield* this.#writeData(file, entry.sizeBytes);
  }

  #writeLink(file: TreeFile, source: ByteString): void {
    this.#writeFolders(folderOf(file.name));
    this.#options.write(encodeHeader({ ...this.#entryOf(file), kind: "hardlink", linkName: source, sizeBytes: 0 }));
  }

  *#writeData(file: TreeFile, sizeBytes: number): Generator<void> {
    const fd = fs.openSync(pathBytes(file.path), "r");
    try {
      let left = sizeBytes;
      while (left > 0) {
        const count = fs.readSync(fd, this.#buffer, 0, Math.min(left, this.#buffer.length), null);
        if (count === 0) throw new FaultError("unknown", `${displayName(file.name)} became shorter while it was read`);
        this.#options.write(this.#buffer.subarray(0, count));
        left -= count;
        yield;
      }
    } finally {
      fs.closeSync(fd);
    }
    this.#options.write(paddingFor(sizeBytes));
  }

  #entryOf(file: TreeFile): TarEntry {
    const { name, path, stats } = file;
    const kind = kindOf(stats);
    const seconds = Number(
      (stats.mtimeNs - (((stats.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) / 1_000_000_000n,
    );
    const latest = this.#options.latestSeconds;
    const device = kind === "character" || kind === "block";
    return {
      name: kind === "directory" ? `${name}/` : name,
      linkName: kind === "symlink" ? fs.readlinkSync(pathBytes(path), { encoding: "buffer" }).toString("latin1") : "",
      kind,
      mode: Number(stats.mode) & 0o7777,
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      sizeBytes: kind === "file" ? Number(stats.size) : 0,
      mtime: { seconds: latest === undefined ? seconds : Math.min(seconds, latest), nanos: 0 },
      devMajor: device ? deviceMajor(stats.rdev) : 0,
      devMinor: device ? deviceMinor(stats.rdev) : 0,
      xattrs: xattrsOf(this.#options.kernel, path, isLayerXattr),
    };
  }
}

function isLayerXattr(name: string): boolean {
  return name === "security.capability" || (name.startsWith("user.") && !name.startsWith("user.overlay."));
}

export function kindOf(stats: fs.BigIntStats): TarKind {
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isCharacterDevice()) return "character";
  if (stats.isBlockDevice()) return "block";
  return stats.isFIFO() ? "fifo" : "file";
}
