import type { Database } from "bun:sqlite";
import { Instant } from "../../lib/instant.ts";
import { labelsFromText, labelsToText } from "../../lib/labels.ts";
import type { SchemaPart, Transaction } from "../metadata/index.ts";
import type { Activation, ActiveMount } from "./activations.ts";
import type { MountSpec } from "./mount-spec.ts";

/**
 * A row is an activation, and the folder of its number, from before the first mount until after the last unmount.
 * Shape: `info` is null while the mounts are being made; one that is `gone` has no name any more and is being taken away.
 */
export const mountsSchema: SchemaPart = {
  room: "mounts",
  migrations: [
    `CREATE TABLE mount_activations (
       id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, name TEXT NOT NULL, lease TEXT NOT NULL,
       labels TEXT NOT NULL, info TEXT, gone INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE UNIQUE INDEX mount_activations_by_name ON mount_activations (namespace, name) WHERE gone = 0;
     CREATE INDEX mount_activations_by_lease ON mount_activations (namespace, lease, name)
       WHERE gone = 0 AND lease <> '';
     CREATE INDEX mount_activations_gone ON mount_activations (id) WHERE gone = 1;`,
  ],
};

interface Row {
  readonly id: number;
  readonly namespace: string;
  readonly name: string;
  readonly labels: string;
  readonly info: string | null;
}

/** An activation with its folder's number. */
export interface StoredActivation {
  readonly id: number;
  readonly namespace: string;
  /** Undefined while its mounts are being made. */
  readonly activation: Activation | undefined;
}

/** Shape: `mountedAt` is RFC 3339; earlier versions told milliseconds. */
type StoredMount = MountSpec & {
  readonly mountPoint: string;
  readonly mountedAt?: string;
  readonly mountedAtMs?: number;
};

interface StoredInfo {
  readonly active: readonly StoredMount[];
  readonly system: readonly MountSpec[];
}

const columns = "id, namespace, name, labels, info";

export function findActivation(db: Database, namespace: string, name: string): StoredActivation | undefined {
  const sql = `SELECT ${columns} FROM mount_activations WHERE namespace = ? AND name = ? AND gone = 0`;
  const row = db.query<Row, [string, string]>(sql).get(namespace, name);
  return row === null ? undefined : decode(row);
}

export function listActivations(db: Database, namespace: string): readonly StoredActivation[] {
  const sql = `SELECT ${columns} FROM mount_activations WHERE namespace = ? AND gone = 0 ORDER BY name`;
  return db.query<Row, [string]>(sql).all(namespace).map(decode);
}

/** Those of every namespace. */
export function allActivations(db: Database): readonly StoredActivation[] {
  return db.query<Row, []>(`SELECT ${columns} FROM mount_activations WHERE gone = 0 ORDER BY id`).all().map(decode);
}

export interface NewActivation {
  readonly namespace: string;
  readonly name: string;
  readonly lease: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** Takes a name. Answers the number. */
export function insertActivation(tx: Transaction, { namespace, name, lease, labels }: NewActivation): number {
  const sql = "INSERT INTO mount_activations (namespace, name, lease, labels) VALUES (?, ?, ?, ?)";
  const { lastInsertRowid } = tx.db.query(sql).run(namespace, name, lease, labelsToText(labels));
  tx.touch("mount", namespace, name);
  return Number(lastInsertRowid);
}

/** Says that its mounts are there. */
export function completeActivation(tx: Transaction, id: number, namespace: string, activation: Activation): void {
  const { active, system, name } = activation;
  const info: StoredInfo = {
    active: active.map(({ mountedAt, ...mount }) => ({ ...mount, mountedAt: mountedAt.toString() })),
    system,
  };
  tx.db.query("UPDATE mount_activations SET info = ? WHERE id = ?").run(JSON.stringify(info), id);
  tx.touch("mount", namespace, name);
}

/** Frees its name; its mounts go later. */
export function markGone(tx: Transaction, id: number): boolean {
  const { changes } = tx.db.query("UPDATE mount_activations SET gone = 1 WHERE id = ? AND gone = 0").run(id);
  if (changes > 0) tx.release();
  return changes > 0;
}

/** The numbers of those whose mounts have yet to go. */
export function goneActivations(db: Database): readonly number[] {
  return db
    .query<{ id: number }, []>("SELECT id FROM mount_activations WHERE gone = 1 ORDER BY id")
    .all()
    .map(({ id }) => id);
}

/** Forgets one whose folder is no more. */
export function forgetActivation(tx: Transaction, id: number): void {
  tx.db.query("DELETE FROM mount_activations WHERE id = ? AND gone = 1").run(id);
}

export function hasNumber(db: Database, id: number): boolean {
  return db.query("SELECT 1 FROM mount_activations WHERE id = ?").get(id) !== null;
}

function decode({ id, namespace, name, labels, info }: Row): StoredActivation {
  if (info === null) return { id, namespace, activation: undefined };
  const { active, system } = JSON.parse(info) as StoredInfo;
  return {
    id,
    namespace,
    activation: {
      name,
      active: active.map(decodeMount),
      system,
      labels: labelsFromText(labels),
    },
  };
}

function decodeMount({ mountedAt = "", mountedAtMs = 0, ...mount }: StoredMount): ActiveMount {
  return { ...mount, mountedAt: Instant.parse(mountedAt) ?? Instant.ofMs(mountedAtMs) };
}
