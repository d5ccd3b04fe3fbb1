import type { Database } from "bun:sqlite";
import { type Collectable, gcLabels, type Holding, type Resource } from "../gc/index.ts";
import type { LeaseResource } from "./leases.ts";
import { nodeOf } from "./resources.ts";

/** How many of a lease's resources go in one transaction. */
const resourcesAtOnce = 64;

interface LeaseRow {
  readonly namespace: string;
  readonly id: string;
  readonly labels: string;
}

interface ResourceRow extends LeaseResource {
  readonly namespace: string;
  readonly lease: string;
}

/** Where a page of holdings ended, as the row itself. */
interface LeaseHolding extends Holding {
  readonly row: ResourceRow;
}

/** The leases, as garbage collection sees them. */
export const collectableLeases: Collectable = {
  kind: "lease",
  page: (db, after, limit) => {
    const sql =
      "SELECT namespace, id, labels FROM leases WHERE (namespace, id) > (?, ?) ORDER BY namespace, id LIMIT ?";
    return db
      .query<LeaseRow, [string, string, number]>(sql)
      .all(after?.namespace ?? "", after?.key ?? "", limit)
      .map(resourceOf);
  },
  find: (db, namespace, key) => {
    const sql = "SELECT namespace, id, labels FROM leases WHERE namespace = ? AND id = ?";
    const row = db.query<LeaseRow, [string, string]>(sql).get(namespace, key);
    return row === null ? undefined : resourceOf(row);
  },
  holdings: (db, after, limit) => holdingsAfter(db, (after as LeaseHolding | undefined)?.row, limit),
  holdingsOf: (db, namespace, key) => {
    const sql = "SELECT type, id FROM lease_resources WHERE namespace = ? AND lease = ?";
    const flat = isFlat(db, namespace, key);
    return db
      .query<LeaseResource, [string, string]>(sql)
      .all(namespace, key)
      .map((resource) => ({ ...nodeOf(namespace, resource), flat }));
  },
  remove: ({ db }, { namespace, key }) => {
    const some = `DELETE FROM lease_resources WHERE namespace = ?1 AND lease = ?2 AND (type, id) IN
      (SELECT type, id FROM lease_resources WHERE namespace = ?1 AND lease = ?2 LIMIT ?3)`;
    const { changes } = db.query(some).run(namespace, key, resourcesAtOnce);
    if (changes === resourcesAtOnce) return { removed: false, next: [key] };
    const gone = db.query("DELETE FROM leases WHERE namespace = ? AND id = ?").run(namespace, key).changes > 0;
    return { removed: gone, next: [] };
  },
};

function holdingsAfter(db: Database, after: ResourceRow | undefined, limit: number): readonly LeaseHolding[] {
  const sql = `SELECT namespace, lease, type, id FROM lease_resources
    WHERE (namespace, lease, type, id) > (?, ?, ?, ?) ORDER BY namespace, lease, type, id LIMIT ?`;
  return db
    .query<ResourceRow, [string, string, string, string, number]>(sql)
    .all(after?.namespace ?? "", after?.lease ?? "", after?.type ?? "", after?.id ?? "", limit)
    .map((row) => ({ namespace: row.namespace, holder: row.lease, node: nodeOf(row.namespace, row), row }));
}

function isFlat(db: Database, namespace: string, id: string): boolean {
  const labels = collectableLeases.find(db, namespace, id)?.labels ?? [];
  return labels.some(([key]) => key === "containerd.io/gc.flat");
}

function resourceOf({ namespace, id, labels }: LeaseRow): Resource {
  return { namespace, key: id, labels: gcLabels(labels), holds: [], root: true };
}
