import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Metadata, openMetadata } from "../../src/core/metadata/index.ts";
import { ratioInTurn } from "./pairs.ts";

const commits = 200;
const rounds = 7;
const record = JSON.stringify({ id: "c1", labels: { a: "b" }, spec: "x".repeat(1000) });
const table = "CREATE TABLE record (id TEXT PRIMARY KEY, body TEXT NOT NULL)";

/** ADR 3: a small durable commit in SQLite, by the engine's own sync and by ours, and in files. */
export async function measureMetadata(): Promise<readonly string[]> {
  const folder = mkdtempSync(path.join(tmpdir(), "lighter-adr-"));
  try {
    await using metadata = openMetadata({
      path: path.join(folder, "ours.sqlite"),
      schemas: [{ room: "adr", migrations: [table] }],
    });
    using full = openWith("FULL", folder);
    using normal = openWith("NORMAL", folder);
    const one = () => alone(metadata);
    return [
      `a lone commit, ours : synchronous FULL: ${await ratioInTurn(one, () => inSqlite(full), rounds)}`,
      `what the event loop waits for, synchronous NORMAL : FULL: ${await ratioInTurn(
        () => inSqlite(normal),
        () => inSqlite(full),
        rounds,
      )}`,
      `16 commits together : 16 one by one: ${await ratioInTurn(() => together(metadata), one, rounds)}`,
      `a lone commit : a file written, synced, renamed, its folder synced: ${await ratioInTurn(one, () => inFiles(folder), rounds)}`,
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function openWith(synchronous: string, folder: string): Database {
  const db = new Database(path.join(folder, `${synchronous}.sqlite`));
  for (const pragma of ["journal_mode = WAL", `synchronous = ${synchronous}`]) db.run(`PRAGMA ${pragma}`);
  db.run(table);
  return db;
}

async function elapsed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

let serial = 0;

const write = (db: Database): void => {
  db.query("INSERT INTO record VALUES (?, ?)").run(`r${serial++}`, record);
};

function alone(metadata: Metadata): Promise<number> {
  return elapsed(async () => {
    for (let i = 0; i < commits; i++) await metadata.update((tx) => write(tx.db));
  });
}

function together(metadata: Metadata): Promise<number> {
  return elapsed(async () => {
    for (let i = 0; i < commits; i += 16) {
      await Promise.all(Array.from({ length: Math.min(16, commits - i) }, () => metadata.update((tx) => write(tx.db))));
    }
  });
}

function inSqlite(db: Database): number {
  const began = performance.now();
  for (let i = 0; i < commits; i++) write(db);
  return performance.now() - began;
}

function inFiles(folder: string): Promise<number> {
  return elapsed(async () => {
    for (let i = 0; i < commits; i++) {
      const file = path.join(folder, `f${serial++}`);
      await using handle = await fs.open(`${file}.new`, "w");
      await handle.writeFile(record);
      await handle.sync();
      await fs.rename(`${file}.new`, file);
      await using parent = await fs.open(folder, "r");
      await parent.sync();
    }
  });
}
