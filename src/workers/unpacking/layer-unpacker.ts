import * as fs from "node:fs";
import { FaultError, invalidArgument } from "../../lib/faults.ts";
import { type ByteString, displayName, type TarEntry, type TarSink } from "../../lib/tar/index.ts";
import { isErrno, type Kernel } from "../../sys/index.ts";
import type { EnteredTree } from "../enter-tree.ts";
import type { UnpackLimits } from "../jobs.ts";
import { baseOf, cleanName, folderOf, pathBytes } from "../paths.ts";
import { FileWriter } from "./file-writer.ts";
import { FolderTree } from "./folder-tree.ts";
import { createHider, type Hider, whiteoutOf } from "./whiteouts.ts";

/** How many notes are kept: they are for a person to read. */
const maxNotes = 20;

/**
 * Applies a layer's members to the tree that is this thread's root.
 * Errors: whatever went wrong, without the entry's name, which the reader knows.
 * Source: OCI image-spec layer.md, "Applying changesets"; containerd pkg/archive/tar.go, applyNaive.
 */
export class LayerUnpacker implements TarSink {
  readonly notes: string[] = [];
  readonly #limits: UnpackLimits;
  readonly #folders: FolderTree;
  readonly #files: FileWriter;
  readonly #hider: Hider;
  /** Folders keep their times only once nothing is made in them any more. */
  readonly #folderTimes = new Map<ByteString, TarEntry>();
  /** Folders that were made without the archive saying so. */
  readonly #implied = new Set<ByteString>();
  #entries = 0;
  #bytes = 0;
  #file: { readonly path: ByteString; readonly entry: TarEntry } | undefined;

  constructor(kernel: Kernel, tree: EnteredTree, userNamespace: boolean, limits: UnpackLimits) {
    this.#limits = limits;
    const note = (text: string): void => {
      if (this.notes.length < maxNotes) this.notes.push(text);
    };
    this.#folders = new FolderTree(kernel, tree, (folder) => {
      this.#hider.folderMade(folder);
      this.#hider.unpacked(folder);
      this.#implied.add(folder);
    });
    this.#hider = createHider(kernel, tree, () => this.#folders.forget());
    this.#files = new FileWriter(kernel, !userNamespace, note);
    this.#files.removed = () => this.#folders.forget();
  }

  /** Folders that the archive has files in and does not describe, outer ones first. */
  get impliedFolders(): readonly ByteString[] {
    return [...this.#implied];
  }

  entry(entry: TarEntry): void {
    this.#account(entry);
    const name = cleanName(entry.name);
    if (name === undefined) throw invalidArgument("name leads out of the layer");
    // The root's own attributes are the snapshotter's.
    if (name === "") return;
    const base = baseOf(name);
    const whiteout = whiteoutOf(base);
    const folder = this.#folders.resolve(folderOf(name));
    const path = folder === "" ? base : `${folder}/${base}`;
    if (whiteout === undefined) this.#make(path, entry);
    else if (whiteout.kind === "opaque") this.#hider.makeOpaque(folder);
    else if (whiteout.kind === "hidden") {
      this.#hider.hide(folder === "" ? whiteout.name : `${folder}/${whiteout.name}`, entry);
    }
  }

  data(bytes: Uint8Array, offset: number): void {
    if (this.#file !== undefined) this.#files.data(bytes, offset);
  }

  end(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) this.#files.endFile(file.path, file.entry);
  }

  /** Call when the archive is through. */
  finish(): void {
    for (const [path, entry] of this.#folderTimes) {
      try {
        this.#files.setTimes(path, entry);
      } catch (error) {
        // The layer itself took it away again.
        if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
      }
    }
  }

  #make(path: ByteString, entry: TarEntry): void {
    if (this.#folderTimes.size > 0) this.#folderTimes.delete(path);
    if (this.#implied.size > 0) this.#implied.delete(path);
    switch (entry.kind) {
      case "directory":
        this.#makeFolder(path, entry);
        break;
      case "file":
        this.#files.startFile(path, entry);
        this.#file = { path, entry };
        break;
      case "symlink":
        this.#files.symlink(path, entry);
        break;
      case "hardlink":
        this.#files.hardlink(path, this.#linkTarget(entry), entry);
        break;
      default:
        if (!this.#files.node(path, entry)) return;
    }
    this.#hider.unpacked(path);
  }

  #makeFolder(path: ByteString, entry: TarEntry): void {
    if (this.#files.folder(path, entry)) this.#hider.folderMade(path);
    this.#folders.add(path);
    this.#folderTimes.set(path, entry);
  }

  /** A link may lead to a symbolic link, not through one that is its last part. */
  #linkTarget(entry: TarEntry): ByteString {
    const name = cleanName(entry.linkName);
    if (name === undefined || name === "") throw invalidArgument("hard link leads out of the layer");
    const folder = this.#folders.resolve(folderOf(name));
    const target = folder === "" ? baseOf(name) : `${folder}/${baseOf(name)}`;
    const stats = fs.lstatSync(pathBytes(`/${target}`), { throwIfNoEntry: false });
    if (stats === undefined) {
      throw new FaultError(
        "invalidArgument",
        `hard link to ${JSON.stringify(displayName(name))}, which is not in the layer`,
      );
    }
    if (stats.isDirectory()) throw invalidArgument("hard link to a folder");
    return target;
  }

  #account(entry: TarEntry): void {
    this.#entries++;
    this.#bytes += entry.sizeBytes;
    const { maxEntries, maxBytes } = this.#limits;
    if (this.#entries > maxEntries) throw new FaultError("resourceExhausted", `more than ${maxEntries} entries`);
    if (this.#bytes > maxBytes) throw new FaultError("resourceExhausted", `more than ${maxBytes} bytes of files`);
  }
}

/** Takes a layer's members and does nothing with them, where there is no tree. */
export const ignoringSink: TarSink = { entry: () => {}, data: () => {}, end: () => {} };
