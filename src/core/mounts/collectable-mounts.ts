import { type Collectable, gcLabels, type Holding, type Resource } from "../gc/index.ts";
import { findActivation, markGone } from "./store.ts";

interface MountRow {
  readonly namespace: string;
  readonly name: string;
  readonly labels: string;
  readonly made: number;
}

interface LeasedRow {
  readonly namespace: string;
  readonly lease: string;
  readonly name: string;
}

interface MountHolding extends Holding {
  readonly row: LeasedRow;
}

const columns = "namespace, name, labels, info IS NOT NULL AS made";

/**
 * The activations, as garbage collection sees them: held by leases, by references and by what they refer back to; one whose
 * mounts are being made stays.
 */
export function collectableMounts(clean: () => Promise<void>): Collectable {
  return {
    kind: "mount",
    page: (db, after, limit) => {
      const sql = `SELECT ${columns} FROM mount_activations WHERE gone = 0 AND (namespace, name) > (?, ?)
        ORDER BY namespace, name LIMIT ?`;
      return db
        .query<MountRow, [string, string, number]>(sql)
        .all(after?.namespace ?? "", after?.key ?? "", limit)
        .map(resourceOf);
    },
    find: (db, namespace, key) => {
      const sql = `SELECT ${columns} FROM mount_activations WHERE gone = 0 AND namespace = ? AND name = ?`;
      const row = db.query<MountRow, [string, string]>(sql).get(namespace, key);
      return row === null ? undefined : resourceOf(row);
    },
    holdings: (db, after, limit) => {
      const last = (after as MountHolding | undefined)?.row;
      const sql = `SELECT namespace, lease, name FROM mount_activations
        WHERE gone = 0 AND lease <> '' AND (namespace, lease, name) > (?, ?, ?) ORDER BY namespace, lease, name LIMIT ?`;
      return db
        .query<LeasedRow, [string, string, string, number]>(sql)
        .all(last?.namespace ?? "", last?.lease ?? "", last?.name ?? "", limit)
        .map(holdingOf);
    },
    remove: (tx, { namespace, key }) => {
      const found = findActivation(tx.db, namespace, key);
      return { removed: found !== undefined && markGone(tx, found.id), next: [] };
    },
    clean,
  };
}

function resourceOf({ namespace, name, labels, made }: MountRow): Resource {
  return { namespace, key: name, labels: gcLabels(labels), holds: [], root: made === 0 };
}

function holdingOf(row: LeasedRow): MountHolding {
  const { namespace, lease, name } = row;
  return { namespace, holder: lease, node: { kind: "mount", namespace, key: name }, row };
}
