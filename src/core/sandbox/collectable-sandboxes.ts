import { fromBinary } from "@bufbuild/protobuf";
import { SandboxSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import { type Collectable, gcLabelsOf, type Resource } from "../gc/index.ts";

interface SandboxRow {
  readonly namespace: string;
  readonly id: string;
  /** Only of a sandbox with labels that concern garbage collection. */
  readonly message: Uint8Array | null;
}

const columns = `namespace, id,
  CASE WHEN instr(message, CAST('containerd.io/gc.' AS BLOB)) > 0 THEN message END AS message`;

/** The sandboxes, as garbage collection sees them: alive, never collected, holding what their labels refer to. */
export const collectableSandboxes: Collectable = {
  kind: "sandbox",
  page: (db, after, limit) => {
    const sql = `SELECT ${columns} FROM sandboxes WHERE (namespace, id) > (?, ?) ORDER BY namespace, id LIMIT ?`;
    return db
      .query<SandboxRow, [string, string, number]>(sql)
      .all(after?.namespace ?? "", after?.key ?? "", limit)
      .map(resourceOf);
  },
  find: (db, namespace, key) => {
    const sql = `SELECT ${columns} FROM sandboxes WHERE namespace = ? AND id = ?`;
    const row = db.query<SandboxRow, [string, string]>(sql).get(namespace, key);
    return row === null ? undefined : resourceOf(row);
  },
};

function resourceOf({ namespace, id, message }: SandboxRow): Resource {
  const labels = message === null ? [] : gcLabelsOf(Object.entries(fromBinary(SandboxSchema, message).labels));
  return { namespace, key: id, labels, holds: [], root: true };
}
