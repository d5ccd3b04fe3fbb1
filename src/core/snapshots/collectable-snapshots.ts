import { create } from "@bufbuild/protobuf";
import { SnapshotRemoveSchema } from "../../gen/containerd/events/snapshot_pb.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import { type Collectable, gcLabels, type Resource } from "../gc/index.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import type { SnapshotUsage } from "./snapshotter.ts";
import { deleteSnapshot, findSnapshot, hasChildren, type SnapshotRow, snapshotRow, snapshotsAfter } from "./store.ts";

export interface CollectableSnapshotsOptions {
  readonly exchange: Exchange;
  /** Begins to remove the folder of a snapshot whose row is gone. */
  readonly discard: (snapshotter: string, id: number) => void;
  /** Settles when no folder is being removed any more. */
  readonly settle: () => Promise<void>;
  readonly metadata: Metadata;
  /** Looks at what an active snapshot takes by now; undefined when that cannot be told. */
  readonly usage: (ctx: Ctx, snapshotter: string, name: string) => Promise<SnapshotUsage | undefined>;
}

/** How many rows are looked at in one turn of the loop. */
const pageRows = 64;

/** The snapshots of all built-in snapshotters, as garbage collection sees them; children go before their parents. */
export function collectableSnapshots(options: CollectableSnapshotsOptions): Collectable {
  return {
    kind: "snapshot",
    page: (db, after, limit) => {
      const [snapshotter, name] = after === undefined ? ["", ""] : split(after.key);
      return snapshotsAfter(db, snapshotter, after?.namespace ?? "", name, limit).map(resourceOf);
    },
    find: (db, namespace, key) => {
      const row = snapshotRow(db, ...at(namespace, key));
      return row === undefined ? undefined : resourceOf(row);
    },
    remove: (tx, { namespace, key }) => remove(tx, namespace, key, options),
    clean: () => options.settle(),
    sizeBytes: (db, namespace, key) => findSnapshot(db, ...at(namespace, key))?.usage.sizeBytes ?? 0,
    measure: (signal, namespace) => measureActive(options, signal, namespace),
  };
}

/** What containers and builds have written so far: no row tells. */
async function measureActive(
  { metadata, usage }: CollectableSnapshotsOptions,
  signal: AbortSignal,
  namespace: string | undefined,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  let last: SnapshotRow | undefined;
  do {
    signal.throwIfAborted();
    const [after, page] = [last, pageRows];
    const rows = metadata.read((db) =>
      snapshotsAfter(db, after?.snapshotter ?? "", after?.namespace ?? "", after?.name ?? "", page),
    );
    for (const row of rows) {
      if (row.kind !== "active" || (namespace !== undefined && row.namespace !== namespace)) continue;
      const found = await usage(createCtx({ namespace: row.namespace, signal }), row.snapshotter, row.name);
      if (found !== undefined) sizes.set(`${row.namespace}\n${row.snapshotter}/${row.name}`, found.sizeBytes);
    }
    last = rows.at(-1);
    await new Promise<void>((resolve) => setImmediate(resolve));
  } while (last !== undefined);
  return sizes;
}

function remove(
  tx: Transaction,
  namespace: string,
  key: string,
  options: CollectableSnapshotsOptions,
): ReturnType<NonNullable<Collectable["remove"]>> {
  const [snapshotter, name] = split(key);
  const record = findSnapshot(tx.db, snapshotter, namespace, name);
  // With a child it has to wait for it: the child's removal names its parent again.
  if (record === undefined || hasChildren(tx.db, snapshotter, record.id)) return { removed: false, next: [] };
  deleteSnapshot(tx, snapshotter, record, namespace);
  const event = anyOf(SnapshotRemoveSchema, create(SnapshotRemoveSchema, { key: name, snapshotter }));
  tx.afterCommit(() => {
    options.exchange.publish(createCtx({ namespace }), "/snapshot/remove", event);
    options.discard(snapshotter, record.id);
  });
  const { parent } = record.info;
  return { removed: true, next: parent === "" ? [] : [`${snapshotter}/${parent}`] };
}

function resourceOf({ snapshotter, namespace, name, parent_name, labels }: SnapshotRow): Resource {
  const holds: Resource["holds"] =
    parent_name === null
      ? []
      : [{ node: { kind: "snapshot", namespace, key: `${snapshotter}/${parent_name}` }, how: "parent" }];
  return { namespace, key: `${snapshotter}/${name}`, labels: gcLabels(labels), holds, root: false };
}

function split(key: string): [snapshotter: string, name: string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}

function at(namespace: string, key: string): [snapshotter: string, namespace: string, name: string] {
  const [snapshotter, name] = split(key);
  return [snapshotter, namespace, name];
}
