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
import { Instant } from "../../lib/instant.ts";
import { labelMap, labelRecord, requireLabelKeys } from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { Metadata, SchemaPart, Transaction } from "../metadata/index.ts";
import { ensureNamespace, type NamespaceStore } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { ContainerStore } from "./containers.ts";
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
  };
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
    "INSERT INTO containers (namespace, id, snapshotter, snapshot_key, sandbox, message) " +
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
  const message = toBinary(ContainerSchema, container);
  const { changes } = tx.db.query(sql).run(namespace, id, snapshotter, snapshotKey, sandbox, message);
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

function updateContainer(tx: Transaction, { exchange, ctx, namespace, wanted, paths, now }: Update): Container {
  const { id } = wanted;
  const stored = read(tx.db, namespace, id);
  if (stored === undefined) throw notFound(`container ${quote(id)}`);
  applyUpdate(stored, wanted, paths);
  try {
    checkContainer(stored);
  } catch (error) {
    throw wrapFault("update failed validation", error);
  }
  requireKeys(stored);
  const createdAt = stored.createdAt === undefined ? now : Instant.of(stored.createdAt);
  const updated = withTimes(stored, createdAt, notBefore(now, createdAt));
  tx.db
    .query("UPDATE containers SET snapshot_key = ?, message = ? WHERE namespace = ? AND id = ?")
    .run(updated.snapshotKey, toBinary(ContainerSchema, updated), namespace, id);
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
