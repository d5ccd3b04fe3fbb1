import type { Database } from "bun:sqlite";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { alreadyExists, invalidArgument, notFound, quote } from "../../lib/faults.ts";
import { absentField, type FieldAdaptor, mapField, nonEmptyField, parseRecordFilters } from "../../lib/filters.ts";
import { Instant } from "../../lib/instant.ts";
import { labelsFromText, labelsToText, requireLabelKeys } from "../../lib/labels.ts";
import type { Metadata, SchemaPart, Transaction } from "../metadata/index.ts";
import { ensureNamespace } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { LeaseInfo, LeaseManager, LeaseResource } from "./leases.ts";
import { checkResource, nodeOf } from "./resources.ts";

export const leasesSchema: SchemaPart = {
  room: "leases",
  migrations: [
    `CREATE TABLE leases (
       namespace TEXT NOT NULL, id TEXT NOT NULL, created_at_ms INTEGER NOT NULL, labels TEXT NOT NULL,
       PRIMARY KEY (namespace, id)
     ) WITHOUT ROWID, STRICT;
     CREATE TABLE lease_resources (
       namespace TEXT NOT NULL, lease TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
       PRIMARY KEY (namespace, lease, type, id),
       FOREIGN KEY (namespace, lease) REFERENCES leases (namespace, id) ON DELETE CASCADE
     ) WITHOUT ROWID, STRICT;`,
    `ALTER TABLE leases RENAME COLUMN created_at_ms TO created_at;
     UPDATE leases SET created_at = created_at * 1000000;`,
  ],
};

export interface LeaseManagerOptions {
  readonly metadata: Metadata;
  readonly clock?: Clock | undefined;
  /** Makes the id of a lease that came without one; tests pass their own. */
  readonly randomId?: (() => string) | undefined;
}

interface LeaseRow {
  readonly id: string;
  /** Nanoseconds since the epoch as text: a number here has too few digits. */
  readonly created_at: string;
  readonly labels: string;
}

/** bolt's longest key, which is what bounds a lease's id in containerd. */
const idMaxBytes = 32768;

export function createLeaseManager(options: LeaseManagerOptions): LeaseManager {
  const { metadata, clock = systemClock, randomId = randomLeaseId } = options;
  return {
    create: async (ctx, { id, labels }) => {
      const namespace = requireNamespace(ctx);
      const lease = { id: id === "" ? randomId() : id, createdAt: clock(), labels: withoutEmpty(labels) };
      if (Buffer.byteLength(lease.id) > idMaxBytes) throw invalidArgument("lease id is longer than 32768 bytes");
      requireLabelKeys(labels);
      return metadata.update((tx) => insertLease(tx, namespace, lease));
    },
    delete: async (ctx, id) => {
      const namespace = requireNamespace(ctx);
      await metadata.update(({ db, release }) => {
        const { changes } = db.query("DELETE FROM leases WHERE namespace = ? AND id = ?").run(namespace, id);
        if (changes === 0) throw notFound(`lease ${quote(id)}`);
        release();
      });
    },
    list: (ctx, filters) => listLeases(metadata, requireNamespace(ctx), filters),
    addResource: async (ctx, id, resource) => {
      const namespace = requireNamespace(ctx);
      await metadata.update((tx) => {
        requireLease(tx.db, namespace, id);
        checkResource(resource);
        insertResource(tx, namespace, id, resource);
      });
    },
    deleteResource: async (ctx, id, resource) => {
      const namespace = requireNamespace(ctx);
      await metadata.update(({ db, release }) => {
        requireLease(db, namespace, id);
        checkResource(resource);
        deleteResource(db, namespace, id, resource);
        release();
      });
    },
    listResources: (ctx, id) => listResources(metadata, requireNamespace(ctx), id),
    attach: (tx, namespace, lease, resource) => {
      if (lease === undefined) return;
      if (!hasLease(tx.db, namespace, lease)) throw notFound("lease does not exist");
      insertResource(tx, namespace, lease, resource);
    },
    detach: ({ db }, namespace, lease, resource) => {
      if (lease !== undefined && lease !== "") deleteResource(db, namespace, lease, resource);
    },
  };
}

/** Writes a lease and what it holds as another store had them. Effects: in the caller's transaction. */
export function importLease(
  tx: Transaction,
  namespace: string,
  lease: LeaseInfo,
  resources: readonly LeaseResource[],
): void {
  tx.db
    .query("INSERT INTO leases (namespace, id, created_at, labels) VALUES (?, ?, ?, ?)")
    .run(namespace, lease.id, lease.createdAt.toNanos(), labelsToText(lease.labels));
  for (const resource of resources) insertResource(tx, namespace, lease.id, resource);
}

function insertLease(tx: Transaction, namespace: string, lease: LeaseInfo): LeaseInfo {
  if (hasLease(tx.db, namespace, lease.id)) throw alreadyExists(`lease ${quote(lease.id)}`);
  ensureNamespace(tx, namespace);
  tx.db
    .query("INSERT INTO leases (namespace, id, created_at, labels) VALUES (?, ?, ?, ?)")
    .run(namespace, lease.id, lease.createdAt.toNanos(), labelsToText(lease.labels));
  tx.touch("lease", namespace, lease.id);
  return lease;
}

function listLeases(metadata: Metadata, namespace: string, filters: readonly string[]): readonly LeaseInfo[] {
  const filter = parseRecordFilters(filters);
  const sql = "SELECT id, CAST(created_at AS TEXT) AS created_at, labels FROM leases WHERE namespace = ? ORDER BY id";
  return metadata
    .read((db) => db.query<LeaseRow, [string]>(sql).all(namespace))
    .map((row) => ({
      id: row.id,
      createdAt: Instant.ofNanos(BigInt(row.created_at)),
      labels: labelsFromText(row.labels),
    }))
    .filter((lease) => filter.matches(fieldsOf(lease)));
}

function listResources(metadata: Metadata, namespace: string, lease: string): readonly LeaseResource[] {
  const sql = "SELECT type, id FROM lease_resources WHERE namespace = ? AND lease = ? ORDER BY type, id";
  return metadata.read((db) => {
    requireLease(db, namespace, lease);
    return db.query<LeaseResource, [string, string]>(sql).all(namespace, lease);
  });
}

function fieldsOf(lease: LeaseInfo): FieldAdaptor {
  return ([first, ...rest]) => {
    if (first === "id") return nonEmptyField(lease.id);
    return first === "labels" ? mapField(rest, lease.labels) : absentField;
  };
}

function hasLease(db: Database, namespace: string, id: string): boolean {
  return db.query("SELECT 1 FROM leases WHERE namespace = ? AND id = ?").get(namespace, id) !== null;
}

function requireLease(db: Database, namespace: string, id: string): void {
  if (!hasLease(db, namespace, id)) throw notFound(`lease ${quote(id)}`);
}

function insertResource(tx: Transaction, namespace: string, lease: string, resource: LeaseResource): void {
  const { type, id } = resource;
  tx.db
    .query("INSERT INTO lease_resources (namespace, lease, type, id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
    .run(namespace, lease, type, id);
  const { kind, key } = nodeOf(namespace, resource);
  tx.touch(kind, namespace, key);
}

function deleteResource(db: Database, namespace: string, lease: string, { type, id }: LeaseResource): void {
  db.query("DELETE FROM lease_resources WHERE namespace = ? AND lease = ? AND type = ? AND id = ?").run(
    namespace,
    lease,
    type,
    id,
  );
}

function withoutEmpty(labels: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...labels].filter(([, value]) => value !== ""));
}

/** In containerd's shape: nanoseconds within the second, a dash, 3 random bytes in base64url. Source: core/leases/id.go. */
function randomLeaseId(): string {
  const nanos = Math.floor((performance.timeOrigin + performance.now()) * 1e6) % 1_000_000_000;
  return `${nanos}-${Buffer.from(crypto.getRandomValues(new Uint8Array(3))).toString("base64url")}`;
}
