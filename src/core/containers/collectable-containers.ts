import { fromBinary } from "@bufbuild/protobuf";
import { ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { type Collectable, gcLabelsOf, type Resource } from "../gc/index.ts";

interface ContainerRow {
  readonly namespace: string;
  readonly id: string;
  readonly snapshotter: string;
  readonly snapshot_key: string;
  /** Only of a container with labels that concern garbage collection. */
  readonly message: Uint8Array | null;
}

const columns = `namespace, id, snapshotter, snapshot_key,
  CASE WHEN instr(message, CAST('containerd.io/gc.' AS BLOB)) > 0 THEN message END AS message`;

/** The containers, as garbage collection sees them: alive, and never collected. */
export const collectableContainers: Collectable = {
  kind: "container",
  page: (db, after, limit) => {
    const sql = `SELECT ${columns} FROM containers WHERE (namespace, id) > (?, ?) ORDER BY namespace, id LIMIT ?`;
    return db
      .query<ContainerRow, [string, string, number]>(sql)
      .all(after?.namespace ?? "", after?.key ?? "", limit)
      .map(resourceOf);
  },
  find: (db, namespace, key) => {
    const sql = `SELECT ${columns} FROM containers WHERE namespace = ? AND id = ?`;
    const row = db.query<ContainerRow, [string, string]>(sql).get(namespace, key);
    return row === null ? undefined : resourceOf(row);
  },
};

function resourceOf({ namespace, id, snapshotter, snapshot_key, message }: ContainerRow): Resource {
  const labels = message === null ? [] : gcLabelsOf(Object.entries(fromBinary(ContainerSchema, message).labels));
  const holds: Resource["holds"] =
    snapshotter === ""
      ? []
      : [{ node: { kind: "snapshot", namespace, key: `${snapshotter}/${snapshot_key}` }, how: "snapshot" }];
  return { namespace, key: id, labels, holds, root: true };
}
