import type { Database } from "bun:sqlite";
import type { Logger } from "../../lib/log.ts";

/**
 * A room's tables. A room owns its tables: no other reads or writes them but through the room's door.
 * Shape: `migrations[n]` brings version n to n + 1; a migration that was released never changes.
 */
export interface SchemaPart {
  readonly room: string;
  readonly migrations: readonly string[];
}

/** A sort of object, as garbage collection tells them apart: `content`, `snapshot`, `image`, `lease`, `ingest`, `container`. */
export type ResourceKind = string;

/** A running transaction. It is one synchronous function: nothing in it awaits. */
export interface Transaction {
  readonly db: Database;
  /** Runs once the commit is durable; for events. Not run when the transaction failed. */
  readonly afterCommit: (action: () => void) => void;
  /**
   * Tells those who watch that an object was made, changed or newly referred to. Every room does so for its own objects:
   * a collection that is under way keeps what was touched.
   * Shape: a snapshot's key is `<snapshotter>/<name>`.
   */
  readonly touch: (kind: ResourceKind, namespace: string, key: string) => void;
  /** Tells those who watch that something went by which others may have been held. */
  readonly release: () => void;
}

/** Told of mutations. */
export interface MutationWatcher {
  /** At once, inside the transaction, which may still fail. */
  touched?(kind: ResourceKind, namespace: string, key: string): void;
  /** Once for each mutation that touched or released something, after it is durable. */
  committed?(released: boolean): void;
}

export interface UpdateOptions {
  /**
   * For work that no caller waits for: it settles a moment later, with others where there are such, the disk is never waited
   * for on the loop, and watchers hear nothing of the commit. Mutations of calls that arrive meanwhile go first.
   */
  readonly background?: boolean;
}

/** The one metadata database of a daemon. */
export interface Metadata extends AsyncDisposable {
  /**
   * Reads what is committed, now. Statements come from `db.query`, which caches them.
   * Errors: dataLoss or unavailable when the file cannot be read.
   */
  read<T>(action: (db: Database) => T): T;
  /**
   * Runs a mutation in the next transaction, all or nothing; those that arrive together commit together, in order, but for
   * those in the background.
   * Errors: whatever `action` throws, with nothing of it kept; resourceExhausted when the disk is full, unavailable when it
   * refuses otherwise or the database is closed.
   * Effects: settles when the commit is durable. Readers may see the mutation a moment before that.
   */
  update<T>(action: (tx: Transaction) => T, options?: UpdateOptions): Promise<T>;
  /** How many mutations wait for their transaction. */
  readonly waiting: number;
  /** Tells of every mutation from now on, until disposed. */
  watch(watcher: MutationWatcher): Disposable;
}

export interface MetadataOptions {
  /** The database file; its folder exists. */
  readonly path: string;
  readonly schemas: readonly SchemaPart[];
  /** How long another process that holds the file is waited for, with the loop standing still; a second when left out. */
  readonly busyMs?: number | undefined;
  /** Where trouble is told that no caller waits for. */
  readonly log?: Logger | undefined;
}
