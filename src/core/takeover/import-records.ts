import { lstatSync } from "node:fs";
import type { BoltFile } from "../../lib/bolt/index.ts";
import { Instant } from "../../lib/instant.ts";
import { isErrno } from "../../sys/index.ts";
import { importContainer } from "../containers/index.ts";
import { insertBlob, putIngest } from "../content/index.ts";
import { importImage } from "../images/index.ts";
import { importLease } from "../leases/index.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import { importNamespace } from "../namespaces/index.ts";
import { importSandbox } from "../sandbox/index.ts";
import { insertSnapshot, originOf } from "../snapshots/index.ts";
import { type OldRecord, type OldSnapshot, readRecords } from "./old-records.ts";
import type { TakeoverPlan } from "./plan.ts";
import { snapshotFolder } from "./source.ts";
import { createTurns } from "./turns.ts";

/** How many records are written at once: less than a millisecond's work. */
const batchRecords = 16;
/** How many of them may wait to be written. */
const mostBatches = 64;

/**
 * Writes what a plan says into a database of ours.
 * Errors: dataLoss, and those of Metadata. Effects: many transactions: the database is worth nothing before all are through.
 */
export async function importRecords(
  metadata: Metadata,
  file: BoltFile,
  plan: TakeoverPlan,
  onWritten: () => void,
): Promise<void> {
  await metadata.update((tx) => {
    for (const { name, firstId } of plan.snapshotters) originOf(tx, name, firstId);
  });
  let batch: OldRecord[] = [];
  const writing: Promise<void>[] = [];
  const write = (): void => {
    const records = batch;
    batch = [];
    const action = (tx: Transaction): void => {
      for (const record of records) importRecord(tx, plan, record);
    };
    // In the background: nobody asks for one of them before all are there.
    writing.push(metadata.update(action, { background: true }));
  };
  const settle = async (): Promise<void> => {
    await Promise.all(writing.splice(0));
    onWritten();
  };
  const turn = createTurns();
  for (const record of readRecords(file.root)) {
    if (!plan.takes(record)) continue;
    batch.push(record);
    if (batch.length === batchRecords) write();
    if (writing.length === mostBatches) await settle();
    await turn();
  }
  write();
  await settle();
}

function importRecord(tx: Transaction, plan: TakeoverPlan, record: OldRecord): void {
  const { namespace } = record;
  switch (record.kind) {
    case "namespace":
      return importNamespace(tx, { name: namespace, labels: record.labels });
    case "image":
      return importImage(tx, namespace, record.image);
    case "container":
      return importContainer(tx, namespace, record.container);
    case "sandbox":
      return importSandbox(tx, namespace, record.sandbox);
    case "lease":
      return importLease(
        tx,
        namespace,
        { ...record.lease, createdAt: rowTime(record.lease.createdAt) },
        record.resources,
      );
    case "blob":
      return insertBlob(tx, namespace, { ...record.info, ...rowTimes(record.info) });
    case "ingest": {
      const { ref, backendRef, expected, expireAt } = record.ingest;
      return putIngest(tx, { namespace, ref, backend_ref: backendRef, expected: expected || null }, expireAt);
    }
    case "snapshot":
      return importSnapshot(tx, plan, namespace, record.snapshot);
    case "unknown":
      return;
  }
}

function importSnapshot(tx: Transaction, plan: TakeoverPlan, namespace: string, snapshot: OldSnapshot): void {
  const { snapshotter, key: name, labels } = snapshot;
  const backend = plan.backendOf(snapshot);
  const planned = plan.snapshotters.find((one) => one.name === snapshotter);
  if (backend === undefined || planned === undefined) return;
  const { id, kind, usage } = backend;
  const parent = backend.parent === "" ? undefined : planned.old.byName.get(backend.parent)?.id;
  const owner = ownerOf(snapshotFolder(planned.root, snapshotter, id));
  // The row has the parent's number; its name is found by that.
  const info = { kind, name, parent: "", labels, ...rowTimes(snapshot) };
  insertSnapshot(tx, snapshotter, namespace, { id, parent: parent ?? null, info, usage, owner });
}

function ownerOf(folder: string): { uid: number; gid: number } {
  try {
    const { uid, gid } = lstatSync(folder);
    return { uid, gid };
  } catch (error) {
    // A view of the native snapshotter has none; of others that lack theirs the plan tells.
    if (isErrno(error, "ENOENT")) return { uid: 0, gid: 0 };
    throw error;
  }
}

type Times = { readonly createdAt: Instant; readonly updatedAt: Instant };

function rowTimes({ createdAt, updatedAt }: Times): Times {
  return { createdAt: rowTime(createdAt), updatedAt: rowTime(updatedAt) };
}

const [earliest, latest] = [
  Instant.of({ seconds: -9_000_000_000, nanos: 0 }),
  Instant.of({ seconds: 9_000_000_000, nanos: 0 }),
];

/** A time that a row can hold: one that was never set becomes an early one. */
function rowTime(time: Instant): Instant {
  if (time.isBefore(earliest)) return earliest;
  return latest.isBefore(time) ? latest : time;
}
