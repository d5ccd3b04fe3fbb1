import { mkdir, readdir, rm } from "node:fs/promises";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { removeTrees } from "../../workers/index.ts";
import type { Metadata } from "../metadata/index.ts";
import type { SnapshotDriver } from "./driver.ts";
import { allIds, findChainRow, originOf } from "./store.ts";

export interface SnapshotFoldersOptions {
  readonly driver: SnapshotDriver;
  readonly metadata: Metadata;
  readonly log: Logger;
}

/** From here on a tree is removed by a process of its own, so that it does not keep one of the pool's few threads. */
const largeFolderEntries = 64;
/** From here on so many folders are, and so many at most by one process. */
const manyFolders = 16;
const mostFolders = 1000;
/** How many folders are looked up before others have their turn. */
const lookupsAtOnce = 64;

/**
 * The folders of a snapshotter, and the numbers that they go by.
 * A folder is made before its row and removed after it, so that after a crash a folder without a row is of no use to anyone.
 */
export class SnapshotFolders implements AsyncDisposable {
  readonly #driver: SnapshotDriver;
  readonly #metadata: Metadata;
  readonly #log: Logger;
  /** Those that are being made: they have no row yet. */
  readonly #making: Set<number> = new Set();
  /** Those that are to be removed, and those that are being removed. */
  readonly #discarded: Set<number> = new Set();
  readonly #removing: Set<number> = new Set();
  #removal: Promise<void> | undefined;
  #firstId = 1;
  #nextId = 1;

  constructor(options: SnapshotFoldersOptions) {
    this.#driver = options.driver;
    this.#metadata = options.metadata;
    this.#log = options.log;
  }

  /**
   * Brings folders and rows together after an earlier run: removes folders that nothing knows, makes those again that a power
   * cut took from snapshots nobody had written to yet.
   */
  async recover(): Promise<void> {
    const { folder, name } = this.#driver;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const found = await this.#foldersThere();
    const rows = this.#metadata.read((db) => allIds(db, name));
    const highest = Math.max(0, ...found, ...rows.keys());
    this.#firstId = await this.#metadata.update((tx) => originOf(tx, name, highest + 1));
    this.#nextId = Math.max(highest + 1, this.#firstId);
    const there = new Set(found);
    for (const [id, kind] of rows) {
      if (there.has(id) || (name === "native" && kind === "view")) continue;
      this.#log.warn("snapshot without its folder", { snapshotter: name, id, kind });
      if (kind !== "committed" && name === "overlayfs") {
        await this.#driver.create({ id, kind, parents: [], owner: { uid: 0, gid: 0 }, labels: new Map() });
      }
    }
    for (const id of found) if (id >= this.#firstId && !rows.has(id)) this.discard(id);
  }

  /** A number that no other snapshot has. */
  reserve(): number {
    const id = this.#nextId++;
    this.#making.add(id);
    return id;
  }

  /** The snapshot of that number has its row. */
  settled(id: number): void {
    this.#making.delete(id);
  }

  /** Removes a folder that has no row, or no longer; nobody waits for it. */
  discard(id: number): void {
    this.#making.delete(id);
    if (this.#removing.has(id)) return;
    this.#discarded.add(id);
    this.#removal ??= this.#removeDiscarded().finally(() => {
      this.#removal = undefined;
    });
  }

  /** Removes every folder that no row owns, and waits for those that are going already. */
  async sweep(): Promise<void> {
    for (const id of await this.orphans()) this.discard(id);
    await this.settle();
  }

  /** The folders that no row owns, and that are neither being made nor going already. */
  async orphans(): Promise<readonly number[]> {
    const found: number[] = [];
    // A folder that was there has its row by now, or is noted as one that is being made.
    for (const [at, id] of (await this.#foldersThere()).entries()) {
      if (at % lookupsAtOnce === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      if (id >= this.#firstId && !this.#isKnown(id)) found.push(id);
    }
    return found;
  }

  /** Waits for the removals that were begun. */
  async settle(): Promise<void> {
    await this.#removal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.settle();
  }

  #isKnown(id: number): boolean {
    if (this.#making.has(id) || this.#discarded.has(id) || this.#removing.has(id)) return true;
    return this.#metadata.read((db) => findChainRow(db, this.#driver.name, id)) !== undefined;
  }

  async #foldersThere(): Promise<number[]> {
    const names = await readdir(this.#driver.folder);
    return names.filter((name) => /^[1-9][0-9]{0,14}$/.test(name)).map(Number);
  }

  /** One after the other: removal is background work, and the disk has others to serve. */
  async #removeDiscarded(): Promise<void> {
    // Those that are discarded in the same turn go together.
    await Promise.resolve();
    while (this.#discarded.size > 0) {
      const ids = [...this.#discarded].slice(0, this.#discarded.size < manyFolders ? 1 : mostFolders);
      for (const id of ids) {
        this.#discarded.delete(id);
        this.#removing.add(id);
      }
      try {
        for (const failure of await this.#remove(ids)) this.#log.warn("failed to remove directory", { error: failure });
      } catch (error) {
        this.#log.warn("failed to remove directories", { ids, error: messageOf(error) });
      } finally {
        for (const id of ids) this.#removing.delete(id);
      }
    }
  }

  async #remove(ids: readonly number[]): Promise<readonly string[]> {
    const paths = ids.map((id) => `${this.#driver.folder}/${id}`);
    const [first] = ids;
    const small = ids.length === 1 && first !== undefined && (await isSmall(this.#driver.contentPath(first)));
    if (!small) return removeTrees(paths);
    await rm(paths[0] ?? "", { recursive: true, force: true });
    return [];
  }
}

/** True for the folder of a container that wrote little: no folder in a folder, few entries. */
async function isSmall(path: string): Promise<boolean> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    if (entries.length > largeFolderEntries) return false;
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      const inner = await readdir(`${path}/${entry.name}`, { withFileTypes: true });
      if (inner.length > largeFolderEntries || inner.some((one) => one.isDirectory())) return false;
    }
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return true;
    throw error;
  }
}
