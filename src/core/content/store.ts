import type { Database } from "bun:sqlite";
import type { Digest } from "../../lib/digest.ts";
import { Instant } from "../../lib/instant.ts";
import { labelsFromText, labelsToText } from "../../lib/labels.ts";
import type { SchemaPart, Transaction } from "../metadata/index.ts";
import type { ContentInfo } from "./content.ts";

/**
 * Blobs are files shared by all namespaces, with a row for each namespace that has them. A removal row is written with the last
 * of them and goes when the file went, so that a file is only ever removed on this daemon's own word: files that nobody
 * knows, of a store that was taken over, stay.
 */
export const contentSchema: SchemaPart = {
  room: "content",
  migrations: [
    `CREATE TABLE content_blobs (
       namespace TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
       created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, labels TEXT NOT NULL,
       PRIMARY KEY (namespace, digest)
     ) WITHOUT ROWID, STRICT;
     CREATE INDEX content_blobs_by_digest ON content_blobs (digest);
     CREATE TABLE content_ingests (
       namespace TEXT NOT NULL, ref TEXT NOT NULL, backend_ref TEXT NOT NULL, expected TEXT, expire_at INTEGER,
       PRIMARY KEY (namespace, ref)
     ) WITHOUT ROWID, STRICT;
     CREATE INDEX content_ingests_by_expected ON content_ingests (expected) WHERE expected IS NOT NULL;
     CREATE TABLE content_removals (path TEXT PRIMARY KEY) WITHOUT ROWID, STRICT;`,
    // What is to go from the stores of proxy plugins.
    `CREATE TABLE content_remote_removals (
       proxy TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, namespace TEXT NOT NULL,
       PRIMARY KEY (proxy, kind, name)
     ) WITHOUT ROWID, STRICT;`,
    // Times were in milliseconds.
    `UPDATE content_blobs SET created_at = created_at * 1000000, updated_at = updated_at * 1000000;`,
  ],
};

interface BlobRow {
  readonly digest: string;
  readonly size: number;
  /** Nanoseconds since the epoch as text: a number here has too few digits. */
  readonly created_at: string;
  readonly updated_at: string;
  readonly labels: string;
}

/** An unfinished write as the database knows it; its bytes and times are files. */
export interface IngestRow {
  readonly namespace: string;
  readonly ref: string;
  readonly backend_ref: string;
  /** Set when the content is there already, for another namespace, and nothing has to be sent. */
  readonly expected: string | null;
}

const blobColumns = "digest, size, created_at, updated_at, labels";
const selectBlob = `SELECT digest, size, CAST(created_at AS TEXT) AS created_at, CAST(updated_at AS TEXT) AS updated_at, labels
  FROM content_blobs`;

export function findBlob(db: Database, namespace: string, digest: Digest): ContentInfo | undefined {
  const row = db
    .query<BlobRow, [string, string]>(`${selectBlob} WHERE namespace = ? AND digest = ?`)
    .get(namespace, digest);
  return row === null ? undefined : infoOf(row);
}

/** Every blob of a namespace, by digest. */
export function allBlobs(db: Database, namespace: string): ContentInfo[] {
  return db.query<BlobRow, [string]>(`${selectBlob} WHERE namespace = ? ORDER BY digest`).all(namespace).map(infoOf);
}

/** The namespaces that have a blob, with its size. */
export function ownersOf(db: Database, digest: Digest): { readonly namespace: string; readonly size: number }[] {
  return db
    .query<{ namespace: string; size: number }, [string]>("SELECT namespace, size FROM content_blobs WHERE digest = ?")
    .all(digest);
}

/** True while a namespace has the blob, or a write relies on it. */
export function isNeeded(db: Database, digest: string): boolean {
  const sql = `SELECT EXISTS (SELECT 1 FROM content_blobs WHERE digest = ?1)
    OR EXISTS (SELECT 1 FROM content_ingests WHERE expected = ?1) AS needed`;
  return db.query<{ needed: number }, [string]>(sql).get(digest)?.needed === 1;
}

export function insertBlob(tx: Transaction, namespace: string, info: ContentInfo): void {
  tx.db
    .query(`INSERT INTO content_blobs (namespace, ${blobColumns}) VALUES (?, ?, ?, ?, ?, ?)`)
    .run(
      namespace,
      info.digest,
      info.sizeBytes,
      info.createdAt.toNanos(),
      info.updatedAt.toNanos(),
      labelsToText(info.labels),
    );
}

export function updateBlob(tx: Transaction, namespace: string, info: ContentInfo): void {
  tx.db
    .query("UPDATE content_blobs SET updated_at = ?, labels = ? WHERE namespace = ? AND digest = ?")
    .run(info.updatedAt.toNanos(), labelsToText(info.labels), namespace, info.digest);
}

/** False when the namespace has no such blob. */
export function deleteBlob(tx: Transaction, namespace: string, digest: Digest): boolean {
  const sql = "DELETE FROM content_blobs WHERE namespace = ? AND digest = ?";
  return tx.db.query(sql).run(namespace, digest).changes > 0;
}

export function findIngest(db: Database, namespace: string, ref: string): IngestRow | undefined {
  const sql = "SELECT namespace, ref, backend_ref, expected FROM content_ingests WHERE namespace = ? AND ref = ?";
  return db.query<IngestRow, [string, string]>(sql).get(namespace, ref) ?? undefined;
}

export function ingestsOf(db: Database, namespace: string): IngestRow[] {
  const sql = "SELECT namespace, ref, backend_ref, expected FROM content_ingests WHERE namespace = ? ORDER BY ref";
  return db.query<IngestRow, [string]>(sql).all(namespace);
}

export function allIngests(db: Database): IngestRow[] {
  return db.query<IngestRow, []>("SELECT namespace, ref, backend_ref, expected FROM content_ingests").all();
}

/** Writes an ingest's row, new or resumed. */
export function putIngest(tx: Transaction, row: IngestRow, expireAt: Instant | undefined): void {
  tx.db
    .query(
      `INSERT INTO content_ingests (namespace, ref, backend_ref, expected, expire_at) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (namespace, ref) DO UPDATE SET expected = ?4, expire_at = coalesce(?5, expire_at)`,
    )
    .run(row.namespace, row.ref, row.backend_ref, row.expected, expireAt?.ms ?? null);
}

export function deleteIngest(tx: Transaction, namespace: string, ref: string): void {
  tx.db.query("DELETE FROM content_ingests WHERE namespace = ? AND ref = ?").run(namespace, ref);
}

/** Notes that a path below the store's root is to go. */
export function putRemoval(tx: Transaction, path: string): void {
  tx.db.query("INSERT INTO content_removals (path) VALUES (?) ON CONFLICT DO NOTHING").run(path);
}

export function deleteRemoval(tx: Transaction, path: string): void {
  tx.db.query("DELETE FROM content_removals WHERE path = ?").run(path);
}

export function hasRemoval(db: Database, path: string): boolean {
  return db.query("SELECT 1 FROM content_removals WHERE path = ?").get(path) !== null;
}

/** Paths that are noted, in order, after the given one. */
export function removalsAfter(db: Database, path: string, limit: number): string[] {
  return db
    .query<{ path: string }, [string, number]>("SELECT path FROM content_removals WHERE path > ? ORDER BY path LIMIT ?")
    .all(path, limit)
    .map((row) => row.path);
}

/** A blob as garbage collection sees it: of its labels only those that concern it, when there are such. */
export interface LabelledRow {
  readonly namespace: string;
  readonly digest: string;
  readonly labels: string;
}

const gcLabelsOnly = "CASE WHEN instr(labels, 'containerd.io/gc.') > 0 THEN labels ELSE '{}' END AS labels";

/** Blobs of all namespaces, in order, after the given one. */
export function blobsAfter(db: Database, namespace: string, digest: string, limit: number): LabelledRow[] {
  const sql = `SELECT namespace, digest, ${gcLabelsOnly} FROM content_blobs
    WHERE (namespace, digest) > (?, ?) ORDER BY namespace, digest LIMIT ?`;
  return db.query<LabelledRow, [string, string, number]>(sql).all(namespace, digest, limit);
}

export function findLabels(db: Database, namespace: string, digest: string): string | undefined {
  const sql = "SELECT labels FROM content_blobs WHERE namespace = ? AND digest = ?";
  return db.query<{ labels: string }, [string, string]>(sql).get(namespace, digest)?.labels;
}

/** An unfinished write as garbage collection sees it. */
export interface ExpiringRow extends IngestRow {
  readonly expire_at: number | null;
}

const ingestColumns = "namespace, ref, backend_ref, expected, expire_at";

/** Unfinished writes of all namespaces, in order, after the given one. */
export function ingestsAfter(db: Database, namespace: string, ref: string, limit: number): ExpiringRow[] {
  const sql = `SELECT ${ingestColumns} FROM content_ingests
    WHERE (namespace, ref) > (?, ?) ORDER BY namespace, ref LIMIT ?`;
  return db.query<ExpiringRow, [string, string, number]>(sql).all(namespace, ref, limit);
}

export function findExpiring(db: Database, namespace: string, ref: string): ExpiringRow | undefined {
  const sql = `SELECT ${ingestColumns} FROM content_ingests WHERE namespace = ? AND ref = ?`;
  return db.query<ExpiringRow, [string, string]>(sql).get(namespace, ref) ?? undefined;
}

/** For namespaces: whether one still has blobs. */
export function hasBlobs(db: Database, namespace: string): boolean {
  return db.query("SELECT 1 FROM content_blobs WHERE namespace = ? LIMIT 1").get(namespace) !== null;
}

function infoOf(row: BlobRow): ContentInfo {
  return {
    digest: row.digest as Digest,
    sizeBytes: row.size,
    createdAt: Instant.ofNanos(BigInt(row.created_at)),
    updatedAt: Instant.ofNanos(BigInt(row.updated_at)),
    labels: labelsFromText(row.labels),
  };
}
