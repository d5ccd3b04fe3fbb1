import { Database } from "bun:sqlite";
import { silentLogger } from "../../lib/log.ts";
import { GroupCommit } from "./group-commit.ts";
import { takeCheckpoints } from "./log-checkpoint.ts";
import type { Metadata, MetadataOptions } from "./metadata.ts";
import { migrate } from "./migrations.ts";
import { storageFault } from "./sqlite-faults.ts";
import { openWalSync } from "./wal-sync.ts";

/** Rooms write their statements as literals, so their number is bounded; bun's own limit of 20 is too small for them. */
const statementCacheSize = 1000;

/**
 * How the file is used. EXCLUSIVE: no second process, no shared memory file, and reads cost half. NORMAL:
 * SQLite syncs what migrations need, and leaves the sync of each commit to wal-sync.ts; log-checkpoint.ts takes the rest over.
 * A page of 8 KiB takes a container's row whole, spec included.
 */
const pragmas = [
  "PRAGMA page_size = 8192",
  "PRAGMA locking_mode = EXCLUSIVE",
  "PRAGMA journal_mode = WAL",
  "PRAGMA synchronous = NORMAL",
  "PRAGMA foreign_keys = ON",
  "PRAGMA temp_store = MEMORY",
  "PRAGMA trusted_schema = OFF",
];

/** Covers a predecessor that is being killed. */
const busyMs = 1000;

/**
 * Opens the metadata database, makes it where there is none, and brings its tables up to date.
 * Errors: failedPrecondition (another program's file, a newer schema), dataLoss (damaged), unavailable (in use, no folder),
 * each naming the file and what to do.
 * Effects: holds the file's lock until disposed. What a dead predecessor committed is there; what it had not is not.
 */
export function openMetadata(options: MetadataOptions): Metadata {
  Database.MAX_QUERY_CACHE_SIZE = Math.max(Database.MAX_QUERY_CACHE_SIZE, statementCacheSize);
  const { path } = options;
  using stack = new DisposableStack();
  try {
    const db = stack.adopt(new Database(path, { create: true, strict: true }), (opened) => opened.close(true));
    db.run(`PRAGMA busy_timeout = ${options.busyMs ?? busyMs}`);
    for (const pragma of pragmas) db.run(pragma);
    migrate(db, path, options.schemas);
    const sync = stack.use(openWalSync(path));
    const log = options.log ?? silentLogger;
    const checkpoint = stack.use(takeCheckpoints({ db, path, log }));
    const commits = new GroupCommit({ db, path, sync, checkpoint, log });
    return facade(db, path, commits, stack.move());
  } catch (error) {
    throw storageFault(path, "open", error);
  }
}

function facade(db: Database, path: string, commits: GroupCommit, owned: DisposableStack): Metadata {
  return {
    read: (action) => {
      try {
        return action(db);
      } catch (error) {
        throw storageFault(path, "read", error);
      }
    },
    update: (action, updateOptions) => commits.add(action, updateOptions),
    get waiting() {
      return commits.waiting;
    },
    watch: (watcher) => commits.watch(watcher),
    [Symbol.asyncDispose]: async () => {
      await commits.close();
      owned.dispose();
    },
  };
}
