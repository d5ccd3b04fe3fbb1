import type { Database } from "bun:sqlite";
import { FaultError } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import { labelsFromText, labelsToText } from "../../lib/labels.ts";
import type { SchemaPart, Transaction } from "../metadata/index.ts";
import type { SnapshotInfo, SnapshotKind, SnapshotUsage } from "./snapshotter.ts";

/**
 * The snapshots of all built-in snapshotters. A snapshot's id is its folder's name and never given twice while the folder
 * is there. An origin row holds the first id that this daemon gave: folders below it came with a store that was taken over.
 */
export const snapshotsSchema: SchemaPart = {
  room: "snapshots",
  migrations: [
    `CREATE TABLE snapshots (
       snapshotter TEXT NOT NULL, id INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
       parent INTEGER, kind TEXT NOT NULL, labels TEXT NOT NULL,
       created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
       inodes INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0,
       root_uid INTEGER NOT NULL DEFAULT 0, root_gid INTEGER NOT NULL DEFAULT 0,
       PRIMARY KEY (snapshotter, id)
     ) WITHOUT ROWID, STRICT;
     CREATE UNIQUE INDEX snapshots_by_name ON snapshots (snapshotter, namespace, name);
     CREATE INDEX snapshots_by_parent ON snapshots (snapshotter, parent) WHERE parent IS NOT NULL;
     CREATE TABLE snapshot_origins (snapshotter TEXT PRIMARY KEY, first_id INTEGER NOT NULL) WITHOUT ROWID, STRICT;`,
    // Where another process keeps the files: its name for the snapshot, and those of its that are to go.
    `ALTER TABLE snapshots ADD COLUMN backend_key TEXT;
     CREATE TABLE snapshot_removals (
       snapshotter TEXT NOT NULL, namespace TEXT NOT NULL, backend_key TEXT NOT NULL,
       PRIMARY KEY (snapshotter, namespace, backend_key)
     ) WITHOUT ROWID, STRICT;`,
    // Times were in milliseconds.
    `UPDATE snapshots SET created_at = created_at * 1000000, updated_at = updated_at * 1000000;`,
  ],
};

/** A snapshot as the snapshotter knows it. */
export interface SnapshotRecord {
  readonly id: number;
  readonly parent: number | null;
  readonly info: SnapshotInfo;
  readonly usage: SnapshotUsage;
  /** Whose the root folder is: what a child's one starts as. */
  readonly owner: Owner;
  /** The name by which another process knows it; undefined where the files are this daemon's own. */
  readonly backendKey?: string | undefined;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

interface Row {
  readonly id: number;
  readonly name: string;
  readonly parent: number | null;
  readonly parent_name: string | null;
  readonly kind: string;
  readonly labels: string;
  /** Nanoseconds since the epoch as text: a number here has too few digits. */
  readonly created_at: string;
  readonly updated_at: string;
  readonly inodes: number;
  readonly size: number;
  readonly root_uid: number;
  readonly root_gid: number;
  readonly backend_key: string | null;
}

/** A subquery and not a join: the same row at a tenth of the time. */
const parentName =
  "(SELECT p.name FROM snapshots p WHERE p.snapshotter = s.snapshotter AND p.id = s.parent) AS parent_name";

const select = `SELECT s.id, s.name, s.parent, ${parentName}, s.kind, s.labels,
    CAST(s.created_at AS TEXT) AS created_at, CAST(s.updated_at AS TEXT) AS updated_at,
    s.inodes, s.size, s.root_uid, s.root_gid, s.backend_key
  FROM snapshots s`;

export function findSnapshot(
  db: Database,
  snapshotter: string,
  namespace: string,
  name: string,
): SnapshotRecord | undefined {
  const row = db
    .query<Row, [string, string, string]>(`${select} WHERE s.snapshotter = ? AND s.namespace = ? AND s.name = ?`)
    .get(snapshotter, namespace, name);
  return row === null ? undefined : recordOf(row);
}

/** A snapshot as garbage collection sees it: of its labels only those that concern it, when there are such. */
export interface SnapshotRow {
  readonly snapshotter: string;
  readonly namespace: string;
  readonly name: string;
  readonly parent_name: string | null;
  readonly kind: string;
  readonly labels: string;
}

const selectRow = `SELECT s.snapshotter, s.namespace, s.name, ${parentName}, s.kind,
    CASE WHEN instr(s.labels, 'containerd.io/gc.') > 0 THEN s.labels ELSE '{}' END AS labels
  FROM snapshots s`;

/** Snapshots of all snapshotters and namespaces, in order, after the given one. */
export function snapshotsAfter(
  db: Database,
  snapshotter: string,
  namespace: string,
  name: string,
  limit: number,
): SnapshotRow[] {
  const sql = `${selectRow} WHERE (s.snapshotter, s.namespace, s.name) > (?, ?, ?)
    ORDER BY s.snapshotter, s.namespace, s.name LIMIT ?`;
  return db.query<SnapshotRow, [string, string, string, number]>(sql).all(snapshotter, namespace, name, limit);
}

export function snapshotRow(
  db: Database,
  snapshotter: string,
  namespace: string,
  name: string,
): SnapshotRow | undefined {
  const sql = `${selectRow} WHERE s.snapshotter = ? AND s.namespace = ? AND s.name = ?`;
  return db.query<SnapshotRow, [string, string, string]>(sql).get(snapshotter, namespace, name) ?? undefined;
}

export function findById(db: Database, snapshotter: string, id: number): SnapshotRecord | undefined {
  const sql = `${select} WHERE s.snapshotter = ? AND s.id = ?`;
  const row = db.query<Row, [string, number]>(sql).get(snapshotter, id);
  return row === null ? undefined : recordOf(row);
}

/** Every snapshot of a namespace, by name. */
export function allSnapshots(db: Database, snapshotter: string, namespace: string): SnapshotRecord[] {
  return db
    .query<Row, [string, string]>(`${select} WHERE s.snapshotter = ? AND s.namespace = ? ORDER BY s.name`)
    .all(snapshotter, namespace)
    .map(recordOf);
}

/**
 * The ids from a snapshot's parent to its root, the nearest first.
 * Errors: dataLoss where the chain comes back to itself, which nothing here writes.
 */
export function ancestors(db: Database, snapshotter: string, parent: number | null): number[] {
  const query = db.query<{ parent: number | null }, [string, number]>(
    "SELECT parent FROM snapshots WHERE snapshotter = ? AND id = ?",
  );
  const chain = new Set<number>();
  for (let id = parent; id !== null; ) {
    if (chain.has(id)) throw new FaultError("dataLoss", `snapshot ${id} of ${snapshotter} is its own ancestor`);
    const row = query.get(snapshotter, id);
    if (row === null) break;
    chain.add(id);
    id = row.parent;
  }
  return [...chain];
}

export function hasChildren(db: Database, snapshotter: string, id: number): boolean {
  return db.query("SELECT 1 FROM snapshots WHERE snapshotter = ? AND parent = ? LIMIT 1").get(snapshotter, id) !== null;
}

export function insertSnapshot(
  tx: Transaction,
  snapshotter: string,
  namespace: string,
  { id, parent, info, owner, usage, backendKey }: SnapshotRecord,
): void {
  tx.db
    .query(
      `INSERT INTO snapshots (snapshotter, id, namespace, name, parent, kind, labels, created_at, updated_at,
         inodes, size, root_uid, root_gid, backend_key)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      snapshotter,
      id,
      namespace,
      info.name,
      parent,
      info.kind,
      labelsToText(info.labels),
      info.createdAt.toNanos(),
      info.updatedAt.toNanos(),
      usage.inodes,
      usage.sizeBytes,
      owner.uid,
      owner.gid,
      backendKey ?? null,
    );
}

export function updateSnapshot(
  tx: Transaction,
  snapshotter: string,
  { id, parent, info, usage, owner, backendKey }: SnapshotRecord,
): void {
  tx.db
    .query(
      `UPDATE snapshots SET name = ?, parent = ?, kind = ?, labels = ?, created_at = ?, updated_at = ?,
         inodes = ?, size = ?, root_uid = ?, root_gid = ?, backend_key = ?
       WHERE snapshotter = ? AND id = ?`,
    )
    .run(
      info.name,
      parent,
      info.kind,
      labelsToText(info.labels),
      info.createdAt.toNanos(),
      info.updatedAt.toNanos(),
      usage.inodes,
      usage.sizeBytes,
      owner.uid,
      owner.gid,
      backendKey ?? null,
      snapshotter,
      id,
    );
}

/** Takes a row away; of one that another process keeps it notes that it is to go there too. */
export function deleteSnapshot(tx: Transaction, snapshotter: string, record: SnapshotRecord, namespace: string): void {
  const { id, backendKey } = record;
  if (backendKey !== undefined) noteRemoval(tx, { snapshotter, namespace, backendKey });
  tx.db.query("DELETE FROM snapshots WHERE snapshotter = ? AND id = ?").run(snapshotter, id);
}

/** A snapshot of another process that is to go. */
export interface BackendSnapshot {
  readonly snapshotter: string;
  readonly namespace: string;
  readonly backendKey: string;
}

export function noteRemoval(tx: Transaction, { snapshotter, namespace, backendKey }: BackendSnapshot): void {
  const sql =
    "INSERT INTO snapshot_removals (snapshotter, namespace, backend_key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
  tx.db.query(sql).run(snapshotter, namespace, backendKey);
}

export function forgetRemoval(tx: Transaction, { snapshotter, namespace, backendKey }: BackendSnapshot): void {
  const sql = "DELETE FROM snapshot_removals WHERE snapshotter = ? AND namespace = ? AND backend_key = ?";
  tx.db.query(sql).run(snapshotter, namespace, backendKey);
}

export function removalsOf(db: Database, snapshotter: string): BackendSnapshot[] {
  const sql = `SELECT snapshotter, namespace, backend_key AS backendKey FROM snapshot_removals
    WHERE snapshotter = ? ORDER BY namespace, backend_key`;
  return db.query<BackendSnapshot, [string]>(sql).all(snapshotter);
}

/** Each id that has a row, and its kind. */
export function allIds(db: Database, snapshotter: string): Map<number, SnapshotKind> {
  const sql = "SELECT id, kind FROM snapshots WHERE snapshotter = ?";
  const rows = db.query<{ id: number; kind: string }, [string]>(sql).all(snapshotter);
  return new Map(rows.map((row) => [row.id, row.kind as SnapshotKind]));
}

/** What of a snapshot must fit with others. */
export interface ChainRow {
  readonly id: number;
  readonly namespace: string;
  readonly name: string;
  readonly kind: SnapshotKind;
  readonly parent: number | null;
}

const chainColumns = "id, namespace, name, kind, parent";

export function chainRowsAfter(db: Database, snapshotter: string, id: number, limit: number): ChainRow[] {
  const sql = `SELECT ${chainColumns} FROM snapshots WHERE snapshotter = ? AND id > ? ORDER BY id LIMIT ?`;
  return db.query<ChainRow, [string, number, number]>(sql).all(snapshotter, id, limit);
}

export function findChainRow(db: Database, snapshotter: string, id: number): ChainRow | undefined {
  const sql = `SELECT ${chainColumns} FROM snapshots WHERE snapshotter = ? AND id = ?`;
  return db.query<ChainRow, [string, number]>(sql).get(snapshotter, id) ?? undefined;
}

/** The first id that this daemon gave, `candidate` when it has given none yet. */
export function originOf(tx: Transaction, snapshotter: string, candidate: number): number {
  tx.db
    .query("INSERT INTO snapshot_origins (snapshotter, first_id) VALUES (?, ?) ON CONFLICT DO NOTHING")
    .run(snapshotter, candidate);
  const sql = "SELECT first_id FROM snapshot_origins WHERE snapshotter = ?";
  return tx.db.query<{ first_id: number }, [string]>(sql).get(snapshotter)?.first_id ?? candidate;
}

/** For namespaces: whether one still has snapshots of a snapshotter. */
export function hasSnapshots(db: Database, snapshotter: string, namespace: string): boolean {
  const sql = "SELECT 1 FROM snapshots WHERE snapshotter = ? AND namespace = ? LIMIT 1";
  return db.query(sql).get(snapshotter, namespace) !== null;
}

function recordOf(row: Row): SnapshotRecord {
  return {
    id: row.id,
    parent: row.parent,
    info: {
      kind: row.kind as SnapshotKind,
      name: row.name,
      parent: row.parent_name ?? "",
      labels: labelsFromText(row.labels),
      createdAt: Instant.ofNanos(BigInt(row.created_at)),
      updatedAt: Instant.ofNanos(BigInt(row.updated_at)),
    },
    usage: { inodes: row.inodes, sizeBytes: row.size },
    owner: { uid: row.root_uid, gid: row.root_gid },
    backendKey: row.backend_key ?? undefined,
  };
}
