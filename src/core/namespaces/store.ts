import type { Database } from "bun:sqlite";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  NamespaceCreateSchema,
  NamespaceDeleteSchema,
  NamespaceUpdateSchema,
} from "../../gen/containerd/events/namespace_pb.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { alreadyExists, FaultError, failedPrecondition, messageOf, notFound, quote } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import {
  applyLabelPath,
  checkLabel,
  checkLabels,
  labelRecord,
  labelsFromText,
  labelsToText,
} from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { Metadata, SchemaPart, Transaction } from "../metadata/index.ts";
import { type NamespaceInfo, type NamespaceStore, type OccupancyCheck } from "./namespaces.ts";

export const namespacesSchema: SchemaPart = {
  room: "namespaces",
  migrations: ["CREATE TABLE namespaces (name TEXT PRIMARY KEY, labels TEXT NOT NULL) WITHOUT ROWID, STRICT"],
};

export interface NamespaceStoreOptions {
  readonly metadata: Metadata;
  readonly exchange: Exchange;
}

interface NamespaceRow {
  readonly name: string;
  readonly labels: string;
}

/** The order in which containerd lists what is left in a namespace; what is not here comes after, as it was registered. */
const occupancyOrder = ["images", "blobs", "containers"];

export function createNamespaceStore({ metadata, exchange }: NamespaceStoreOptions): NamespaceStore {
  const occupancy = new Map<string, OccupancyCheck>();
  const labelsOf = (name: string): Map<string, string> => metadata.read((db) => readLabels(db, name) ?? new Map());
  return {
    labels: labelsOf,
    list: () =>
      metadata.read((db) =>
        db.query<NamespaceRow, []>("SELECT name, labels FROM namespaces ORDER BY name").all().map(infoOf),
      ),
    create: (ctx, info) => metadata.update((tx) => createNamespace(tx, exchange, ctx, info)),
    update: (ctx, info, paths) => metadata.update((tx) => updateNamespace(tx, exchange, ctx, info, paths)),
    delete: (ctx, name) => metadata.update((tx) => deleteNamespace(tx, exchange, ctx, name, occupancy)),
    registerOccupancy: (name, isOccupied) => {
      occupancy.set(name, isOccupied);
    },
  };
}

/** Writes a namespace as another store had it. Effects: in the caller's transaction, without an event. */
export function importNamespace(tx: Transaction, { name, labels }: NamespaceInfo): void {
  writeLabels(tx.db, name, labels);
}

function createNamespace(
  tx: Transaction,
  exchange: Exchange,
  ctx: Ctx,
  { name, labels }: NamespaceInfo,
): NamespaceInfo {
  checkIdentifier(name);
  checkLabels(labels, "namespace.Labels");
  if (readLabels(tx.db, name) !== undefined) throw alreadyExists(`namespace ${quote(name)}`);
  checkChange("", labels.get("") ?? "");
  writeLabels(tx.db, name, new Map([...labels].filter(([, value]) => value !== "")));
  const event = anyOf(NamespaceCreateSchema, create(NamespaceCreateSchema, { name, labels: labelRecord(labels) }));
  announce(tx, exchange, ctx, name, "/namespaces/create", event);
  return { name, labels };
}

function updateNamespace(
  tx: Transaction,
  exchange: Exchange,
  ctx: Ctx,
  { name, labels }: NamespaceInfo,
  paths: readonly string[],
): NamespaceInfo {
  if (name === "") throw new FaultError("unknown", "bucket name required");
  checkIdentifier(name);
  const stored = readLabels(tx.db, name);
  const current = stored ?? new Map<string, string>();
  const all = [...current.keys(), ...labels.keys()].map((key) => `labels.${key}`);
  for (const path of paths.length === 0 ? all : paths) {
    if (!path.startsWith("labels.")) throw new FaultError("invalidArgument", `cannot update ${quote(path)} field`);
    const key = path.slice("labels.".length);
    checkChange(key, labels.get(key) ?? "");
    applyLabelPath(current, labels, path);
  }
  // One that is not there is made by its first label.
  if (stored !== undefined || current.size > 0) writeLabels(tx.db, name, current);
  const event = anyOf(NamespaceUpdateSchema, create(NamespaceUpdateSchema, { name, labels: labelRecord(labels) }));
  announce(tx, exchange, ctx, name, "/namespaces/update", event);
  return { name, labels: current };
}

/** Refuses a label, in the words and with the code of bolt, which is what containerd's callers get to see of it. */
function checkChange(key: string, value: string): void {
  try {
    checkLabel(key, value);
  } catch (error) {
    throw new FaultError("unknown", `namespace.Labels: ${messageOf(error)}`, { cause: error });
  }
  if (key === "" && value !== "") throw new FaultError("unknown", "key required");
}

function deleteNamespace(
  tx: Transaction,
  exchange: Exchange,
  ctx: Ctx,
  name: string,
  occupancy: ReadonlyMap<string, OccupancyCheck>,
): void {
  const left = [...occupancy].filter(([, isOccupied]) => isOccupied(tx.db, name)).map(([what]) => what);
  if (left.length > 0) {
    const listed = left.toSorted((a, b) => rank(a) - rank(b)).join(", ");
    throw failedPrecondition(`namespace ${quote(name)} must be empty, but it still has ${listed}`);
  }
  const { changes } = tx.db.query("DELETE FROM namespaces WHERE name = ?").run(name);
  if (changes === 0) throw notFound(`namespace ${quote(name)}`);
  const event = anyOf(NamespaceDeleteSchema, create(NamespaceDeleteSchema, { name }));
  announce(tx, exchange, ctx, name, "/namespaces/delete", event);
}

/** The event belongs to the namespace it is about, whatever the caller's own one is. */
function announce(tx: Transaction, exchange: Exchange, ctx: Ctx, namespace: string, topic: string, event: Any): void {
  tx.afterCommit(() => exchange.publish(createCtx({ namespace, log: ctx.log }), topic, event));
}

function rank(what: string): number {
  const index = occupancyOrder.indexOf(what);
  return index === -1 ? occupancyOrder.length : index;
}

function readLabels(db: Database, name: string): Map<string, string> | undefined {
  const row = db.query<{ labels: string }, [string]>("SELECT labels FROM namespaces WHERE name = ?").get(name);
  return row === null ? undefined : labelsFromText(row.labels);
}

function writeLabels(db: Database, name: string, labels: ReadonlyMap<string, string>): void {
  const sql = "INSERT INTO namespaces (name, labels) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET labels = ?2";
  db.query(sql).run(name, labelsToText(labels));
}

function infoOf(row: NamespaceRow): NamespaceInfo {
  return { name: row.name, labels: labelsFromText(row.labels) };
}
