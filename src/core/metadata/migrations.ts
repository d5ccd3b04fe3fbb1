import type { Database } from "bun:sqlite";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import type { SchemaPart } from "./metadata.ts";

/** SQLite's application_id of our files: "ltrm" in ASCII. A file that says otherwise is not ours. */
const applicationId = 0x6c74726d;

/**
 * Brings every room's tables to the version this program knows, in one transaction.
 * Errors: failedPrecondition when the file is another program's, or a newer lighter wrote it; internal when a migration fails.
 */
export function migrate(db: Database, path: string, schemas: readonly SchemaPart[]): void {
  db.run("BEGIN IMMEDIATE");
  try {
    claim(db, path);
    for (const schema of schemas) migrateRoom(db, path, schema);
    db.run("COMMIT");
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK");
    throw error;
  }
}

function claim(db: Database, path: string): void {
  const found = firstNumber(db, "PRAGMA application_id");
  if (found === applicationId) return;
  if (found !== 0 || firstNumber(db, "SELECT count(*) FROM sqlite_master") !== 0) {
    throw refusal(path, "it is not a lighter metadata database; move the file away or choose another root");
  }
  db.run(`PRAGMA application_id = ${applicationId}`);
  db.run("CREATE TABLE room_versions (room TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID, STRICT");
}

function migrateRoom(db: Database, path: string, { room, migrations }: SchemaPart): void {
  const row = db.prepare<{ version: number }, [string]>("SELECT version FROM room_versions WHERE room = ?").get(room);
  const from = row?.version ?? 0;
  if (from > migrations.length) {
    throw refusal(
      path,
      `${quote(room)} has schema ${from} and this lighter knows up to ${migrations.length}; ` +
        "run the newer lighter, or restore the database from before the upgrade",
    );
  }
  if (from === migrations.length) return;
  for (const [index, sql] of migrations.entries()) {
    if (index >= from) runMigration(db, `${room} ${index + 1}`, sql);
  }
  db.prepare(
    "INSERT INTO room_versions (room, version) VALUES (?1, ?2) ON CONFLICT (room) DO UPDATE SET version = ?2",
  ).run(room, migrations.length);
}

function runMigration(db: Database, name: string, sql: string): void {
  try {
    db.run(sql);
  } catch (error) {
    throw new FaultError("internal", `migration ${quote(name)}: ${messageOf(error)}`, { cause: error });
  }
}

function firstNumber(db: Database, sql: string): number {
  const row = db.prepare<Record<string, number>, []>(sql).get();
  return Object.values(row ?? {})[0] ?? 0;
}

function refusal(path: string, reason: string): FaultError {
  return new FaultError("failedPrecondition", `open metadata database ${quote(path)}: ${reason}`);
}
