import type { Database } from "bun:sqlite";
import { closeSync, fdatasync, fstatSync, openSync } from "node:fs";
import { messageOf, quote, unavailable } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";

/** Above this the log is emptied when nobody waits for a mutation. */
const softBytes = 1 << 20;
/** Above this it is emptied at once: the next start would have to read it all. */
const hardBytes = 6 << 20;

export type Urgency = "none" | "quiet" | "now";

/**
 * Moves the pages of the write-ahead log into the database file. SQLite's own way waits for the disk twice, on the loop; this one
 * does in the pool, and no mutation may commit while it runs.
 */
export interface LogCheckpoint extends Disposable {
  /** How soon the log should be emptied. */
  urgency(): Urgency;
  /**
   * Empties the log, all of which must be durable already. A disk without room for it leaves the log as it is.
   * Errors: the system's when the database file cannot be made durable, after which nothing may be written any more.
   */
  run(): Promise<void>;
}

export interface LogCheckpointOptions {
  readonly db: Database;
  readonly path: string;
  readonly log: Logger;
  /** Makes what was written to a descriptor durable. */
  readonly sync?: ((fd: number) => Promise<void>) | undefined;
  readonly limits?: { readonly softBytes: number; readonly hardBytes: number } | undefined;
}

/**
 * Takes the log's checkpoints over from SQLite.
 * Effects: from here on SQLite syncs nothing by itself (synchronous = OFF, wal_autocheckpoint = 0): commits are synced by
 * wal-sync.ts, and a checkpoint by its steps here. Disposing hands both back to it.
 */
export function takeCheckpoints(options: LogCheckpointOptions): LogCheckpoint {
  const { db, path, log, sync = syncInPool, limits = { softBytes, hardBytes } } = options;
  // What a predecessor left is moved and synced before the log begins anew.
  db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  db.run("PRAGMA wal_autocheckpoint = 0");
  db.run("PRAGMA synchronous = OFF");
  const database = openSync(path, "r+");
  const logFile = openSync(`${path}-wal`, "r");
  // A log that could not be emptied is not tried again before it has grown by as much as is allowed at all.
  let spared = 0;
  return {
    urgency: () => {
      const size = fstatSync(logFile).size - spared;
      return size < limits.softBytes ? "none" : size < limits.hardBytes ? "quiet" : "now";
    },
    run: async () => {
      try {
        db.run("PRAGMA wal_checkpoint(PASSIVE)");
      } catch (error) {
        spared = fstatSync(logFile).size;
        log.warn("the metadata log could not be emptied", { path, error: messageOf(error) });
        return;
      }
      // The log is whole until this has happened: a power cut before it finds every page there.
      await sync(database);
      // Emptied, not written over: no page of the old log can be taken for one of the new, whatever reaches the disk first.
      db.run("PRAGMA wal_checkpoint(TRUNCATE)");
      if (fstatSync(logFile).size > 0) throw unavailable(`metadata log of ${quote(path)} is in use`);
      spared = 0;
    },
    [Symbol.dispose]: () => {
      closeSync(logFile);
      closeSync(database);
      db.run("PRAGMA synchronous = FULL");
    },
  };
}

function syncInPool(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fdatasync(fd, (error) => (error === null ? resolve() : reject(error))));
}
