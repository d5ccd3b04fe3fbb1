import type { Database } from "bun:sqlite";
import type { Digest } from "../../../lib/digest.ts";
import { isFault, messageOf } from "../../../lib/faults.ts";
import type { KeyedMutex } from "../../../lib/keyed-mutex.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Metadata, Transaction } from "../../metadata/index.ts";
import { isNeeded } from "../store.ts";
import type { ContentBackend } from "./backend.ts";

/** What is to go from another process: a blob, or an ingest by its ref there. */
export interface RemoteItem {
  readonly kind: "blob" | "ingest";
  readonly namespace: string;
  readonly name: string;
}

export interface RemoteRemovalsOptions {
  /** The proxy's name: whoever serves it may be another tomorrow. */
  readonly proxy: string;
  readonly backend: ContentBackend;
  readonly metadata: Metadata;
  /** Held by digest, or by ref, while bytes come or go there. */
  readonly mutex: KeyedMutex;
  readonly log: Logger;
}

const callTimeoutMs = 60_000;
const pageRows = 64;

/**
 * What is to go from another process: noted in the transaction in which its last row went, or before a commit there whose row
 * may never come; removed after that, and forgotten then. Die on any line, and the note is there for the next run, which looks
 * again whether the bytes are wanted.
 */
export class RemoteRemovals implements AsyncDisposable {
  readonly #options: RemoteRemovalsOptions;
  readonly #stopped = new AbortController();
  #round: Promise<void> | undefined;
  #again = false;

  constructor(options: RemoteRemovalsOptions) {
    this.#options = options;
  }

  note(tx: Transaction, { kind, namespace, name }: RemoteItem): void {
    const sql = `INSERT INTO content_remote_removals (proxy, kind, name, namespace) VALUES (?, ?, ?, ?)
      ON CONFLICT DO NOTHING`;
    tx.db.query(sql).run(this.#options.proxy, kind, name, namespace);
  }

  forget(tx: Transaction, { kind, name }: Pick<RemoteItem, "kind" | "name">): void {
    const sql = "DELETE FROM content_remote_removals WHERE proxy = ? AND kind = ? AND name = ?";
    tx.db.query(sql).run(this.#options.proxy, kind, name);
  }

  /** Begins to remove what is noted. */
  discard(): void {
    this.#again = true;
    this.#round ??= this.#run().finally(() => {
      this.#round = undefined;
    });
  }

  /** Removes what is noted, and waits for it. What cannot be removed stays noted. */
  async settle(): Promise<void> {
    this.discard();
    await this.#round;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await this.#round;
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#stopped.signal.aborted) {
      this.#again = false;
      let last: RemoteItem | undefined;
      for (;;) {
        const page = this.#options.metadata.read((db) => this.#after(db, last));
        for (const item of page) if (!(await this.#remove(item))) return;
        last = page.at(-1);
        if (last === undefined) break;
      }
    }
  }

  /** False when there is no use in going on. */
  async #remove(item: RemoteItem): Promise<boolean> {
    const { mutex, metadata, log } = this.#options;
    using _lock = await mutex.lock(item.name);
    if (this.#stopped.signal.aborted) return false;
    try {
      // A write that began anew took the note away.
      if (!metadata.read((db) => this.#isNoted(db, item))) return true;
      await this.#removeThere(item);
      await metadata.update(
        (tx) => {
          this.forget(tx, item);
        },
        { background: true },
      );
      return true;
    } catch (error) {
      const { proxy } = this.#options;
      log.warn("failed to remove content of a proxy plugin", { proxy, name: item.name, error: messageOf(error) });
      return !isFault(error, "unavailable") && !isFault(error, "canceled");
    }
  }

  async #removeThere({ kind, namespace, name }: RemoteItem): Promise<void> {
    const { backend, metadata } = this.#options;
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(callTimeoutMs)]);
    if (kind === "ingest") await backend.abort({ namespace, signal }, name);
    // Whoever wants it meanwhile waits for the lock, unless it was wanted all along.
    else if (!metadata.read((db) => isNeeded(db, name))) await backend.delete({ namespace, signal }, name as Digest);
  }

  #isNoted(db: Database, { kind, name }: RemoteItem): boolean {
    const sql = "SELECT 1 FROM content_remote_removals WHERE proxy = ? AND kind = ? AND name = ?";
    return db.query(sql).get(this.#options.proxy, kind, name) !== null;
  }

  #after(db: Database, last: RemoteItem | undefined): RemoteItem[] {
    const sql = `SELECT kind, name, namespace FROM content_remote_removals
      WHERE proxy = ? AND (kind, name) > (?, ?) ORDER BY kind, name LIMIT ?`;
    return db
      .query<RemoteItem, [string, string, string, number]>(sql)
      .all(this.#options.proxy, last?.kind ?? "", last?.name ?? "", pageRows);
  }
}
