import * as fs from "node:fs";
import { FaultError } from "../../lib/faults.ts";
import { type ByteString, displayName } from "../../lib/tar/index.ts";
import { isErrno, type Kernel } from "../../sys/index.ts";
import type { EnteredTree } from "../enter-tree.ts";
import { pathBytes } from "../paths.ts";

/** Source: OCI image-spec layer.md, "Whiteouts". */
const whiteoutPrefix = ".wh.";
const metaPrefix = ".wh..wh.";
const opaqueName = ".wh..wh..opq";

export type Whiteout =
  | { readonly kind: "opaque" }
  /** Marks of aufs's own, which mean nothing elsewhere. */
  | { readonly kind: "ignored" }
  | { readonly kind: "hidden"; readonly name: ByteString };

/** What a file's name says of files below; undefined for a plain file. Errors: invalidArgument. */
export function whiteoutOf(base: ByteString): Whiteout | undefined {
  if (!base.startsWith(whiteoutPrefix)) return undefined;
  if (base === opaqueName) return { kind: "opaque" };
  if (base.startsWith(metaPrefix)) return { kind: "ignored" };
  const name = base.slice(whiteoutPrefix.length);
  if (name === "" || name === "." || name === "..") {
    throw new FaultError("invalidArgument", `invalid whiteout name: ${displayName(base)}: invalid archive`);
  }
  return { kind: "hidden", name };
}

/**
 * Hides what the layers below have. A layer's whiteouts speak of layers below only: files of its own stay, in whatever order
 * both come.
 */
export interface Hider {
  /** Hides one file or folder. `mode` of the mark's owner goes with it. */
  hide(path: ByteString, owner: { readonly uid: number; readonly gid: number }): void;
  /** Hides everything below in a folder. */
  makeOpaque(folder: ByteString): void;
  /** A folder is about to be made where something was hidden: what was in there below must stay hidden. */
  folderMade(folder: ByteString): void;
  /** A path of this layer's own is there now. */
  unpacked(path: ByteString): void;
}

export function createHider(kernel: Kernel, tree: EnteredTree, removed: () => void): Hider {
  return tree.kind === "overlay" ? new OverlayHider(kernel, tree) : new PlainHider(removed);
}

/** Marks as overlayfs has them. Source: Linux Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories". */
class OverlayHider implements Hider {
  readonly #kernel: Kernel;
  readonly #xattr: string;
  readonly #marks = new Set<ByteString>();
  readonly #own = new Set<ByteString>();

  constructor(kernel: Kernel, tree: EnteredTree) {
    this.#kernel = kernel;
    this.#xattr = `${tree.overlayXattrs}opaque`;
  }

  hide(path: ByteString, owner: { readonly uid: number; readonly gid: number }): void {
    const bytes = pathBytes(`/${path}`);
    if (this.#own.has(path)) {
      // The layer's own file hides the one below anyhow; a folder would be merged with it.
      if (fs.lstatSync(bytes, { throwIfNoEntry: false })?.isDirectory() === true) this.makeOpaque(path);
      return;
    }
    try {
      this.#kernel.mknod(bytes, fs.constants.S_IFCHR, 0, 0);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      fs.rmSync(bytes, { recursive: true, force: true });
      this.#kernel.mknod(bytes, fs.constants.S_IFCHR, 0, 0);
    }
    fs.lchownSync(bytes, owner.uid, owner.gid);
    this.#marks.add(path);
  }

  makeOpaque(folder: ByteString): void {
    this.#kernel.setXattr(pathBytes(`/${folder}`), this.#xattr, Buffer.from("y"));
  }

  folderMade(folder: ByteString): void {
    if (this.#marks.delete(folder)) this.makeOpaque(folder);
  }

  unpacked(path: ByteString): void {
    this.#own.add(path);
  }
}

/** Where layers below are plainly there, hiding is removing. */
class PlainHider implements Hider {
  readonly #own = new Set<ByteString>();
  readonly #removed: () => void;

  constructor(removed: () => void) {
    this.#removed = removed;
  }

  hide(path: ByteString): void {
    const bytes = pathBytes(`/${path}`);
    if (!this.#own.has(path)) fs.rmSync(bytes, { recursive: true, force: true });
    else if (fs.lstatSync(bytes, { throwIfNoEntry: false })?.isDirectory() === true) this.makeOpaque(path);
    this.#removed();
  }

  makeOpaque(folder: ByteString): void {
    for (const name of fs.readdirSync(pathBytes(`/${folder}`), { encoding: "buffer" })) {
      const base = name.toString("latin1");
      const path = folder === "" ? base : `${folder}/${base}`;
      const bytes = pathBytes(`/${path}`);
      if (!this.#own.has(path)) fs.rmSync(bytes, { recursive: true, force: true });
      else if (fs.lstatSync(bytes, { throwIfNoEntry: false })?.isDirectory() === true) this.makeOpaque(path);
    }
    this.#removed();
  }

  folderMade(): void {}

  unpacked(path: ByteString): void {
    this.#own.add(path);
  }
}
