import { type BoltBucket, openBolt } from "../../lib/bolt/index.ts";
import { FaultError, isFault, quote, wrapFault } from "../../lib/faults.ts";
import type { SnapshotKind, SnapshotUsage } from "../snapshots/index.ts";
import { fieldsOf, textOf, uvarintOf, varintOf } from "./fields.ts";
import { createTurns } from "./turns.ts";

/** A snapshot as the snapshotter itself knows it. */
export interface BackendSnapshot {
  /** The name of its folder. */
  readonly id: number;
  readonly kind: SnapshotKind;
  /** The backend's name of its parent; empty for none. */
  readonly parent: string;
  readonly usage: SnapshotUsage;
}

/** A snapshotter's own database. */
export interface OldSnapshotter {
  readonly byName: ReadonlyMap<string, BackendSnapshot>;
  /** The highest number that it gave. */
  readonly sequence: number;
}

/** Source: containerd core/snapshots/snapshotter.go, Kind. */
const kinds: Readonly<Record<number, SnapshotKind>> = { 1: "view", 2: "active", 3: "committed" };

/**
 * Reads the database of an overlayfs or native snapshotter; undefined when it has none, because it was never used.
 * Errors: dataLoss. Effects: reads a millisecond at a time. Source: containerd core/snapshots/storage/bolt.go.
 */
export async function readSnapshotter(path: string): Promise<OldSnapshotter | undefined> {
  try {
    using file = openBolt(path);
    return await snapshotterOf(file.root.bucket("v1")?.bucket("snapshots"));
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

async function snapshotterOf(bucket: BoltBucket | undefined): Promise<OldSnapshotter> {
  const turn = createTurns();
  const byName = new Map<string, BackendSnapshot>();
  for (const entry of bucket?.entries() ?? []) {
    if (entry.bucket === undefined) continue;
    const name = textOf(entry.key);
    try {
      byName.set(name, snapshotOf(fieldsOf(entry.bucket).values));
    } catch (error) {
      throw wrapFault(`snapshot ${quote(name)}`, error);
    }
    await turn();
  }
  return { byName, sequence: Number(bucket?.sequence ?? 0n) };
}

function snapshotOf(values: ReadonlyMap<string, Uint8Array>): BackendSnapshot {
  const kind = kinds[values.get("kind")?.[0] ?? 0];
  if (kind === undefined) throw new FaultError("dataLoss", "its kind cannot be read");
  return {
    id: uvarintOf(values.get("id")),
    kind,
    parent: textOf(values.get("parent")),
    usage: { inodes: varintOf(values.get("inodes")), sizeBytes: varintOf(values.get("size")) },
  };
}
