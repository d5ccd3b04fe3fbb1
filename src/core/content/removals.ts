import { unlink } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Digest, digestProblem } from "../../lib/digest.ts";
import { messageOf } from "../../lib/faults.ts";
import type { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Logger } from "../../lib/log.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import { deleteRemoval, hasRemoval, isNeeded, putRemoval, removalsAfter } from "./store.ts";

/** How many notes a round takes. */
const roundPaths = 64;
/** How many files go at once: the disk has others to serve, and one thread of the pool is for those who wait for a sync. */
const parallel = Math.max(1, Math.min(2, availableParallelism() - 1));
/** How long a full round is rested after at most, however long it took: what is noted has to go some day. */
const mostRestMs = 20;

export interface RemovalQueueOptions {
  readonly root: string;
  readonly metadata: Metadata;
  readonly log: Logger;
  /** Held by digest while a blob's file comes or goes. */
  readonly mutex: KeyedMutex;
  /** Removes an ingest's folder; whoever makes it anew waits for that. */
  readonly removeFolder: (folder: string) => Promise<void>;
  /** Ends the work after the round that is under way; the next start does the rest. */
  readonly signal: AbortSignal;
}

/**
 * Files that are to go: noted in the transaction in which their last row went, removed after it, forgotten after that. Die on any
 * line, and the note is there for the next start, which looks again whether the file is wanted.
 */
export class RemovalQueue {
  readonly #options: RemovalQueueOptions;
  /** How often a path was noted: a note that was made while the one before was worked off stays. */
  readonly #notes = new Map<string, number>();
  #round: Promise<void> | undefined;
  #again = false;

  constructor(options: RemovalQueueOptions) {
    this.#options = options;
  }

  /** Notes that a path below the store's root is to go. */
  note(tx: Transaction, path: string): void {
    putRemoval(tx, path);
    this.#notes.set(path, (this.#notes.get(path) ?? 0) + 1);
  }

  /** Removes everything that is noted; settles when it is gone, or the signal has fired. */
  async run(): Promise<void> {
    this.#again = true;
    this.#round ??= this.#runRounds().finally(() => {
      this.#round = undefined;
    });
    await this.#round;
  }

  async #runRounds(): Promise<void> {
    const { signal } = this.#options;
    while (this.#again && !signal.aborted) {
      this.#again = false;
      const forgotten: Promise<void>[] = [];
      // A path that could not be removed stays noted; it is passed over until the next run.
      for (let paths = this.#pathsAfter(""); paths.length > 0; paths = this.#pathsAfter(paths.at(-1) ?? "")) {
        const start = performance.now();
        const gone = await this.#removeAll(paths);
        if (gone.size > 0) forgotten.push(this.#forget(gone));
        // As long a rest: the filesystem's journal takes removals along with every sync that a caller waits for.
        if (paths.length === roundPaths) await rest(Math.min(performance.now() - start, mostRestMs), signal);
        if (signal.aborted) break;
      }
      await Promise.all(forgotten);
    }
  }

  #pathsAfter(path: string): readonly string[] {
    return this.#options.metadata.read((db) => removalsAfter(db, path, roundPaths));
  }

  /** Answers what is gone now, and how often each had been noted. */
  async #removeAll(paths: readonly string[]): Promise<ReadonlyMap<string, number | undefined>> {
    const gone = new Map<string, number | undefined>();
    const next = paths.values();
    const worker = async (): Promise<void> => {
      for (const path of next) {
        const notes = this.#notes.get(path);
        if (await this.#remove(path)) gone.set(path, notes);
      }
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    return gone;
  }

  #forget(gone: ReadonlyMap<string, number | undefined>): Promise<void> {
    return this.#options.metadata.update(
      (tx) => {
        for (const [path, notes] of gone) {
          if (this.#notes.get(path) !== notes) continue;
          deleteRemoval(tx, path);
          tx.afterCommit(() => {
            if (this.#notes.get(path) === notes) this.#notes.delete(path);
          });
        }
      },
      { background: true },
    );
  }

  async #remove(path: string): Promise<boolean> {
    const { root, metadata, log, mutex, removeFolder } = this.#options;
    try {
      const digest = blobOf(path);
      if (digest === undefined) {
        // A write that began anew took the note away; from here on such a one waits for the removal.
        if (metadata.read((db) => hasRemoval(db, path))) await removeFolder(join(root, path));
        return true;
      }
      using _lock = await mutex.lock(digest);
      if (!metadata.read((db) => isNeeded(db, digest))) await removeFile(join(root, path));
      return true;
    } catch (error) {
      log.warn("content: failed to remove a file", { path, error: messageOf(error) });
      return false;
    }
  }
}

/** Settles after a while, at once when the signal fires. */
function rest(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

function blobOf(path: string): Digest | undefined {
  const [kind, algorithm, encoded] = path.split("/");
  const text = `${algorithm}:${encoded}`;
  return kind === "blobs" && digestProblem(text) === undefined ? (text as Digest) : undefined;
}

// The callback form: it costs the loop a fraction of what the promised one does.
function removeFile(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    unlink(path, (error) => (error === null || error.code === "ENOENT" ? resolve() : reject(error)));
  });
}
