import type { Database } from "bun:sqlite";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Checkpoint, CheckpointSchema } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import type { SchemaPart, Transaction } from "../metadata/index.ts";

/** `container_life` tells a container from later ones of its id: a row of another life belongs to nobody. */
export const checkpointsSchema: SchemaPart = {
  room: "checkpoints",
  migrations: [
    `CREATE TABLE checkpoints (
       namespace TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL,
       container_life TEXT NOT NULL, message BLOB NOT NULL,
       PRIMARY KEY (namespace, container, name)
     ) STRICT;`,
  ],
};

/** A checkpoint, and of which life of its container it is. */
export interface CheckpointRow {
  readonly namespace: string;
  readonly containerLife: string;
  readonly checkpoint: Checkpoint;
}

interface RawRow {
  readonly namespace: string;
  readonly container_life: string;
  readonly message: Uint8Array;
}

const columns = "namespace, container_life, message";

export function findCheckpoint(
  db: Database,
  namespace: string,
  container: string,
  name: string,
): CheckpointRow | undefined {
  const row = db
    .query<RawRow, [string, string, string]>(
      `SELECT ${columns} FROM checkpoints WHERE namespace = ? AND container = ? AND name = ?`,
    )
    .get(namespace, container, name);
  return row === null ? undefined : opened(row);
}

/** Those of a namespace, of one container where it is given. */
export function checkpointsIn(db: Database, namespace: string, container: string): CheckpointRow[] {
  return db
    .query<RawRow, [string, string]>(
      `SELECT ${columns} FROM checkpoints WHERE namespace = ?1 AND (?2 = '' OR container = ?2)`,
    )
    .all(namespace, container)
    .map(opened);
}

/** Every one of every namespace. */
export function allCheckpoints(db: Database): CheckpointRow[] {
  return db.query<RawRow, []>(`SELECT ${columns} FROM checkpoints`).all().map(opened);
}

/** Puts a row in the place of one of the same name, which the caller has found to be of another life. */
export function putCheckpoint(tx: Transaction, { namespace, containerLife, checkpoint }: CheckpointRow): void {
  tx.db
    .query(
      `INSERT OR REPLACE INTO checkpoints (namespace, container, name, container_life, message) VALUES (?, ?, ?, ?, ?)`,
    )
    .run(namespace, checkpoint.containerId, checkpoint.name, containerLife, toBinary(CheckpointSchema, checkpoint));
}

/** Removes that very row; one that was put in its place stays. */
export function dropCheckpoint(tx: Transaction, { namespace, containerLife, checkpoint }: CheckpointRow): void {
  tx.db
    .query("DELETE FROM checkpoints WHERE namespace = ? AND container = ? AND name = ? AND container_life = ?")
    .run(namespace, checkpoint.containerId, checkpoint.name, containerLife);
}

function opened(row: RawRow): CheckpointRow {
  return {
    namespace: row.namespace,
    containerLife: row.container_life,
    checkpoint: fromBinary(CheckpointSchema, row.message),
  };
}
