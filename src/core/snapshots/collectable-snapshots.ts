import { create } from "@bufbuild/protobuf";
import { SnapshotRemoveSchema } from "../../gen/containerd/events/snapshot_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import { type Collectable, gcLabels, type Resource } from "../gc/index.ts";
import type { Transaction } from "../metadata/index.ts";
import { deleteSnapshot, findSnapshot, hasChildren, type SnapshotRow, snapshotRow, snapshotsAfter } from "./store.ts";

export interface CollectableSnapshotsOptions {
  readonly exchange: Exchange;
  /** Begins to remove the folder of a snapshot whose row is gone. */
  readonly discard: (snapshotter: string, id: number) => void;
  /** Settles when no folder is being removed any more. */
  readonly settle: () => Promise<void>;
}

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
  };
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
