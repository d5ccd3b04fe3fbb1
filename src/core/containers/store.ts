import type { Database } from "bun:sqlite";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ContainerCreate_RuntimeSchema,
  ContainerCreateSchema,
  ContainerDeleteSchema,
  ContainerUpdateSchema,
} from "../../gen/containerd/events/container_pb.ts";
import {
  type Container,
  Container_RuntimeSchema,
  ContainerSchema,
} from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { type Clock, notBefore, systemClock } from "../../lib/clock.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { alreadyExists, invalidArgument, notFound, quote, wrapFault } from "../../lib/faults.ts";
import { parseRecordFilters } from "../../lib/filters.ts";
import { healthLabels } from "../../lib/health-labels.ts";
import { Instant } from "../../lib/instant.ts";
import { type LabelRecord, labelMap, labelRecord, requireLabelKeys } from "../../lib/labels.ts";
import { restartLabels } from "../../lib/restart-labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { Metadata, SchemaPart, Transaction } from "../metadata/index.ts";
import { ensureNamespace, type NamespaceStore } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { ContainerName, ContainerStore } from "./containers.ts";
import { containerFields } from "./fields.ts";
import { applyUpdate } from "./update.ts";
import { checkContainer } from "./validate.ts";

/** The message as it came is the row; beside it stand only the columns by which it is found or that keep other things alive. */
export const containersSchema: SchemaPart = {
  room: "containers",
  migrations: [
    `CREATE TABLE containers (
       namespace TEXT NOT NULL, id TEXT NOT NULL, snapshotter TEXT NOT NULL, snapshot_key TEXT NOT NULL,
       sandbox TEXT NOT NULL, message BLOB NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX containers_by_id ON containers (namespace, id);`,
    // Few are restarted by the daemon: finding them must not cost a look at all the others.
    `ALTER TABLE containers ADD COLUMN supervised INTEGER NOT NULL DEFAULT 0;
     UPDATE containers SET supervised = 1 WHERE instr(message, CAST('${restartLabels.status}' AS BLOB)) > 0;
     CREATE INDEX containers_supervised ON containers (namespace, id) WHERE supervised = 1;`,
    // The same for those whose health is checked.
    `ALTER TABLE containers ADD COLUMN checked INTEGER NOT NULL DEFAULT 0;
     UPDATE containers SET checked = 1 WHERE instr(message, CAST('${healthLabels.check}' AS BLOB)) > 0
       OR instr(message, CAST('${healthLabels.nerdctlCheck}' AS BLOB)) > 0;
     CREATE INDEX containers_checked ON containers (namespace, id) WHERE checked = 1;`,
  ],
};

export interface ContainerStoreOptions {
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  /** Told how to see that a namespace still holds containers. */
  readonly namespaces?: NamespaceStore | undefined;
  readonly clock?: Clock | undefined;
}

interface MessageRow {
  readonly message: Uint8Array;
}

export function createContainerStore(options: ContainerStoreOptions): ContainerStore {
  const { metadata, exchange, clock = systemClock } = options;
  options.namespaces?.registerOccupancy("containers", holdsContainers);
  return {
    get: (ctx, id) => {
      const namespace = requireNamespace(ctx);
      return metadata.read((db) => {
        const container = read(db, namespace, id);
        if (container === undefined) throw notFound(`container ${quote(id)} in namespace ${quote(namespace)}`);
        return container;
      });
    },
    list: (ctx, filters) => listContainers(metadata, requireNamespace(ctx), filters),
    create: async (ctx, given) => {
      const namespace = requireNamespace(ctx);
      const now = clock();
      const container = withTimes(given, now, now);
      try {
        checkContainer(container);
      } catch (error) {
        throw wrapFault("create container failed validation", error);
      }
      return metadata.update((tx) => insertContainer(tx, exchange, ctx, namespace, container));
    },
    update: async (ctx, wanted, paths) => {
      if (wanted.id === "") throw invalidArgument("must specify a container id");
      const namespace = requireNamespace(ctx);
      return metadata.update((tx) => updateContainer(tx, { exchange, ctx, namespace, wanted, paths, now: clock() }));
    },
    delete: async (ctx, id) => {
      const namespace = requireNamespace(ctx);
      await metadata.update((tx) => deleteContainer(tx, exchange, ctx, namespace, id));
    },
    relabel: async (ctx, id, change) => {
      const namespace = requireNamespace(ctx);
      return metadata.update((tx) => relabelContainer(tx, { exchange, ctx, namespace, id, change, now: clock() }));
    },
    supervised: (after, limit) => namesWhere(metadata, "supervised", after, limit),
    findSupervised: (name) => findWhere(metadata, "supervised", name),
    checked: (after, limit) => namesWhere(metadata, "checked", after, limit),
    findChecked: (name) => findWhere(metadata, "checked", name),
  };
}

/** Columns that say whether the daemon itself looks after a container; each has an index of its own. */
type Care = "supervised" | "checked";

function namesWhere(
  metadata: Metadata,
  care: Care,
  after: ContainerName | undefined,
  limit: number,
): readonly ContainerName[] {
  const sql =
    `SELECT namespace, id FROM containers WHERE ${care} = 1 AND (namespace, id) > (?, ?) ` +
    "ORDER BY namespace, id LIMIT ?";
  const values = [after?.namespace ?? "", after?.id ?? "", limit] as const;
  return metadata.read((db) => db.query<ContainerName, [string, string, number]>(sql).all(...values));
}

function findWhere(metadata: Metadata, care: Care, { namespace, id }: ContainerName): Container | undefined {
  const sql = `SELECT message FROM containers WHERE namespace = ? AND id = ? AND ${care} = 1`;
  const row = metadata.read((db) => db.query<MessageRow, [string, string]>(sql).get(namespace, id));
  return row === null ? undefined : decode(row);
}

/** Writes a container as another store had it. Effects: in the caller's transaction, without an event. */
export function importContainer(tx: Transaction, namespace: string, container: Container): void {
  const { id, snapshotter, snapshotKey, sandbox } = container;
  const sql =
    "INSERT INTO containers (namespace, id, snapshotter, snapshot_key, sandbox, supervised, checked, message) " +
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
  const values = [namespace, id, snapshotter, snapshotKey, sandbox, ...careOf(container)] as const;
  tx.db.query(sql).run(...values, toBinary(ContainerSchema, container));
}

function listContainers(metadata: Metadata, namespace: string, filters: readonly string[]): readonly Container[] {
  const filter = parseRecordFilters(filters);
  const sql = "SELECT message FROM containers WHERE namespace = ? ORDER BY id";
  const rows = metadata.read((db) => db.query<MessageRow, [string]>(sql).all(namespace));
  const containers = rows.map(decode);
  return filter.matchesAll ? containers : containers.filter((container) => filter.matches(containerFields(container)));
}

function insertContainer(
  tx: Transaction,
  exchange: Exchange,
  ctx: Ctx,
  namespace: string,
  container: Container,
): Container {
  const { id, snapshotter, snapshotKey, sandbox } = container;
  requireKeys(container);
  const sql =
    "INSERT INTO containers (namespace, id, snapshotter, snapshot_key, sandbox, supervised, checked, message) " +
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
  const values = [namespace, id, snapshotter, snapshotKey, sandbox, ...careOf(container)] as const;
  const { changes } = tx.db.query(sql).run(...values, toBinary(ContainerSchema, container));
  if (changes === 0) throw alreadyExists(`container ${quote(id)}`);
  ensureNamespace(tx, namespace);
  tx.touch("container", namespace, id);
  tx.afterCommit(() => {
    const { image, runtime } = container;
    const ran = create(ContainerCreate_RuntimeSchema, { name: runtime?.name ?? "" });
    ran.options = runtime?.options;
    const event = create(ContainerCreateSchema, { id, image, runtime: ran });
    exchange.publish(ctx, "/containers/create", anyOf(ContainerCreateSchema, event));
  });
  return container;
}

/** Errors: unknown, as under containerd: a label has no key. */
function requireKeys({ id, labels }: Container): void {
  try {
    requireLabelKeys(labels);
  } catch (error) {
    throw wrapFault(`failed to write container ${quote(id)}`, error);
  }
}

interface Update {
  readonly exchange: Exchange;
  readonly ctx: Ctx;
  readonly namespace: string;
  readonly wanted: Container;
  readonly paths: readonly string[];
  readonly now: Instant;
}

function updateContainer(tx: Transaction, update: Update): Container {
  const { namespace, wanted, paths } = update;
  const stored = read(tx.db, namespace, wanted.id);
  if (stored === undefined) throw notFound(`container ${quote(wanted.id)}`);
  applyUpdate(stored, wanted, paths);
  return putContainer(tx, update, stored);
}

interface Relabeling extends Omit<Update, "wanted" | "paths"> {
  readonly id: string;
  readonly change: (stored: Container) => LabelRecord | undefined;
}

function relabelContainer(tx: Transaction, relabeling: Relabeling): Container | undefined {
  const stored = read(tx.db, relabeling.namespace, relabeling.id);
  const labels = stored === undefined ? undefined : relabeling.change(stored);
  if (stored === undefined || labels === undefined) return undefined;
  stored.labels = { ...stored.labels, ...labels };
  return putContainer(tx, relabeling, stored);
}

function putContainer(
  tx: Transaction,
  { exchange, ctx, namespace, now }: Omit<Update, "wanted" | "paths">,
  stored: Container,
): Container {
  const { id } = stored;
  try {
    checkContainer(stored);
  } catch (error) {
    throw wrapFault("update failed validation", error);
  }
  requireKeys(stored);
  const createdAt = stored.createdAt === undefined ? now : Instant.of(stored.createdAt);
  const updated = withTimes(stored, createdAt, notBefore(now, createdAt));
  tx.db
    .query(
      "UPDATE containers SET snapshot_key = ?, supervised = ?, checked = ?, message = ? WHERE namespace = ? AND id = ?",
    )
    .run(updated.snapshotKey, ...careOf(updated), toBinary(ContainerSchema, updated), namespace, id);
  tx.touch("container", namespace, id);
  tx.afterCommit(() => {
    const { image, labels, snapshotKey } = updated;
    const event = create(ContainerUpdateSchema, { id, image, labels, snapshotKey });
    exchange.publish(ctx, "/containers/update", anyOf(ContainerUpdateSchema, event));
  });
  return updated;
}

function deleteContainer(tx: Transaction, exchange: Exchange, ctx: Ctx, namespace: string, id: string): void {
  const { changes } = tx.db.query("DELETE FROM containers WHERE namespace = ? AND id = ?").run(namespace, id);
  if (changes === 0) throw notFound(`container ${id}`);
  tx.release();
  tx.afterCommit(() => {
    exchange.publish(ctx, "/containers/delete", anyOf(ContainerDeleteSchema, create(ContainerDeleteSchema, { id })));
  });
}

/** The columns of care, in their order. */
function careOf({ labels }: Container): readonly [supervised: number, checked: number] {
  const isChecked = labels[healthLabels.check] !== undefined || labels[healthLabels.nerdctlCheck] !== undefined;
  return [labels[restartLabels.status] === undefined ? 0 : 1, isChecked ? 1 : 0];
}

function holdsContainers(db: Database, namespace: string): boolean {
  return db.query("SELECT 1 FROM containers WHERE namespace = ? LIMIT 1").get(namespace) !== null;
}

function read(db: Database, namespace: string, id: string): Container | undefined {
  const sql = "SELECT message FROM containers WHERE namespace = ? AND id = ?";
  const row = db.query<MessageRow, [string, string]>(sql).get(namespace, id);
  return row === null ? undefined : decode(row);
}

function decode({ message }: MessageRow): Container {
  return fromBinary(ContainerSchema, message);
}

/** A container as it is kept: with these times, a runtime in any case, and no labels of empty value. */
function withTimes(container: Container, createdAt: Instant, updatedAt: Instant): Container {
  return {
    ...container,
    runtime: container.runtime ?? create(Container_RuntimeSchema),
    labels: labelRecord(labelMap(container.labels)),
    createdAt: createdAt.toTimestamp(),
    updatedAt: updatedAt.toTimestamp(),
  };
}
