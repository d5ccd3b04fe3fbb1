import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../lib/log.ts";
import { type LogCheckpoint, takeCheckpoints } from "./log-checkpoint.ts";

interface Fixture extends Disposable {
  readonly db: Database;
  readonly path: string;
  readonly checkpoint: LogCheckpoint;
  put(count: number): void;
}

function open(sync: (path: string) => Promise<void> = async () => {}): Fixture {
  const folder = mkdtempSync(join(tmpdir(), "lighter-log-"));
  const path = join(folder, "meta.sqlite");
  const db = new Database(path, { create: true, strict: true });
  for (const pragma of ["locking_mode = EXCLUSIVE", "journal_mode = WAL"]) db.run(`PRAGMA ${pragma}`);
  db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, filler BLOB)");
  const limits = { softBytes: 64 << 10, hardBytes: 256 << 10 };
  const checkpoint = takeCheckpoints({ db, path, log: silentLogger, sync: () => sync(path), limits });
  return {
    db,
    path,
    checkpoint,
    put: (count) => {
      for (let index = 0; index < count; index++) db.run("INSERT INTO t (filler) VALUES (zeroblob(3000))");
    },
    [Symbol.dispose]: () => {
      checkpoint[Symbol.dispose]();
      db.close(true);
      rmSync(folder, { recursive: true });
    },
  };
}

/** What a start after a power cut finds in these files. */
function found(database: string, log: string): { readonly rows: number; readonly whole: string } {
  const folder = mkdtempSync(join(tmpdir(), "lighter-cut-"));
  const path = join(folder, "meta.sqlite");
  try {
    copyFileSync(database, path);
    copyFileSync(log, `${path}-wal`);
    const db = new Database(path, { strict: true });
    const rows = db.query<{ n: number }, []>("SELECT count(*) AS n FROM t").get()?.n ?? -1;
    const whole = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get()?.integrity_check ?? "";
    db.close(true);
    return { rows, whole };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("a checkpoint of the log", () => {
  test("is due by the log's length, and leaves an empty one", async () => {
    using log = open();
    const { checkpoint } = log;
    expect(checkpoint.urgency()).toBe("none");
    log.put(8);
    expect(checkpoint.urgency()).toBe("quiet");
    log.put(32);
    expect(checkpoint.urgency()).toBe("now");
    await checkpoint.run();
    expect([checkpoint.urgency(), statSync(`${log.path}-wal`).size]).toEqual(["none", 0]);
    log.put(1);
    expect(log.db.query<{ n: number }, []>("SELECT count(*) AS n FROM t").get()?.n).toBe(41);
  });

  test("loses nothing to a power cut before the database file is durable: the log still has every page", async () => {
    const cuts: object[] = [];
    using log = open(async (path) => {
      // None of the moved pages reached the disk; then all of them did.
      cuts.push(found(`${path}.before`, `${path}-wal`), found(path, `${path}-wal`));
    });
    for (const rows of [20, 40, 60]) {
      log.put(20);
      copyFileSync(log.path, `${log.path}.before`);
      await log.checkpoint.run();
      expect(cuts.splice(0)).toEqual(Array.from({ length: 2 }, () => ({ rows, whole: "ok" })));
    }
  });

  test("after which a power cut finds what was committed since in the new log, and none of the old", async () => {
    using log = open();
    log.put(40);
    await log.checkpoint.run();
    const header = 32;
    const frame = 24 + 4096;
    for (let more = 1; more <= 3; more++) {
      log.put(1);
      expect((statSync(`${log.path}-wal`).size - header) % frame).toBe(0);
      expect(found(log.path, `${log.path}-wal`)).toEqual({ rows: 40 + more, whole: "ok" });
    }
  });

  test("tells when the database file cannot be made durable, with the log as it was", async () => {
    using log = open(async () => {
      throw new Error("EIO: i/o error");
    });
    log.put(8);
    const before = statSync(`${log.path}-wal`).size;
    expect(log.checkpoint.run()).rejects.toThrow("EIO");
    expect(statSync(`${log.path}-wal`).size).toBe(before);
  });
});
