import { closeSync, fdatasync, fdatasyncSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";

/** Above this the loop doesn't wait for the disk itself. */
const inlineLimitMs = 0.6;
/** How much of the estimate the newest sample makes. */
const sampleWeight = 0.1;
/** While the pool does the waiting, how often the disk is tried inline again. */
const retryEvery = 64;

/**
 * Makes the write-ahead log durable.
 * A quick disk (a fdatasync takes 0.2 ms on an SSD) is waited for on the spot, which spares the way through the thread pool and
 * back; a slow one in the pool, so that the loop serves on.
 */
export interface WalSync extends Disposable {
  /** True when `now` is the better way at the moment. */
  readonly quick: boolean;
  /** Errors: the system's error, after which nothing is known about what was written. */
  now(): void;
  /** The same in the thread pool. */
  later(): Promise<void>;
}

/** Opens the log of a database that is in WAL mode already, and makes both files' names durable. */
export function openWalSync(databasePath: string): WalSync {
  const fd = openSync(`${databasePath}-wal`, "r+");
  try {
    syncFolder(dirname(databasePath));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  let typicalMs = 0;
  let sincePooled = 0;
  return {
    get quick() {
      return typicalMs < inlineLimitMs || sincePooled >= retryEvery;
    },
    now: () => {
      const start = performance.now();
      fdatasyncSync(fd);
      sincePooled = 0;
      typicalMs += (performance.now() - start - typicalMs) * sampleWeight;
    },
    later: () => {
      sincePooled += 1;
      return new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve())));
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
