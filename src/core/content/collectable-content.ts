import type { Clock } from "../../lib/clock.ts";
import type { Digest } from "../../lib/digest.ts";
import { type Collectable, type CollectableRows, gcLabels, type Resource } from "../gc/index.ts";
import type { Transaction } from "../metadata/index.ts";
import {
  blobsAfter,
  deleteBlobs,
  deleteIngest,
  type ExpiringRow,
  findBlob,
  findExpiring,
  findLabels,
  ingestsAfter,
  unneededOf,
} from "./store.ts";

export interface CollectableContentOptions {
  /** Note that bytes are to go which nobody needs any more. */
  readonly noteBlobs: (tx: Transaction, digests: readonly Digest[], namespace: string) => void;
  readonly noteIngest: (tx: Transaction, namespace: string, backendRef: string) => void;
  /** Removes everything that is noted. */
  readonly clean: () => Promise<void>;
  /** True while somebody writes that ingest. */
  readonly isWritten: (backendRef: string) => boolean;
  /** The ingest's row is gone, and its folder is about to go. */
  readonly forgetIngest: (backendRef: string) => void;
  readonly now: Clock;
}

const noEdges: Resource["holds"] = [];

/** The store's blobs and unfinished writes, as garbage collection sees them; those that hold before those that are held. */
export function collectableContent(options: CollectableContentOptions): readonly Collectable[] {
  return [collectableIngests(options), collectableBlobs(options)];
}

/** The same as rows alone tell of them, in the same order: of an unfinished write they don't tell whether somebody is at it. */
export function contentRows(nowMs: number): readonly CollectableRows[] {
  return [ingestRows((row) => isFresh(row, nowMs)), blobRows];
}

const blobRows: CollectableRows = {
  kind: "content",
  page: (db, after, limit) =>
    blobsAfter(db, after?.namespace ?? "", after?.key ?? "", limit).map((row) =>
      blobResource(row.namespace, row.digest, row.labels),
    ),
  find: (db, namespace, key) => {
    const labels = findLabels(db, namespace, key);
    return labels === undefined ? undefined : blobResource(namespace, key, labels);
  },
};

function collectableBlobs({ noteBlobs, clean }: CollectableContentOptions): Collectable {
  const removeMany = (tx: Transaction, namespace: string, keys: readonly string[]): number => {
    const gone = deleteBlobs(tx, namespace, keys);
    noteOrphans(tx, noteBlobs, gone, namespace);
    return gone.length;
  };
  return {
    ...blobRows,
    remove: (tx, { namespace, key }) => ({ removed: removeMany(tx, namespace, [key]) > 0, next: [] }),
    removeMany,
    clean,
    sizeBytes: (db, namespace, key) => findBlob(db, namespace, key as Digest)?.sizeBytes ?? 0,
  };
}

function isFresh(row: ExpiringRow, nowMs: number): boolean {
  return row.expire_at !== null && nowMs <= row.expire_at;
}

function ingestRows(isRoot: (row: ExpiringRow) => boolean): CollectableRows {
  const resource = (row: ExpiringRow): Resource => ({
    namespace: row.namespace,
    key: row.ref,
    labels: [],
    holds:
      row.expected === null
        ? noEdges
        : [{ node: { kind: "content", namespace: row.namespace, key: row.expected }, how: "expected" }],
    root: isRoot(row),
  });
  return {
    kind: "ingest",
    page: (db, after, limit) => ingestsAfter(db, after?.namespace ?? "", after?.key ?? "", limit).map(resource),
    find: (db, namespace, key) => {
      const row = findExpiring(db, namespace, key);
      return row === undefined ? undefined : resource(row);
    },
  };
}

/** An unfinished write lives for as long as a lease holds it or its time has not passed, and while somebody writes it. */
function collectableIngests(options: CollectableContentOptions): Collectable {
  const { noteBlobs, noteIngest, isWritten, forgetIngest, now } = options;
  return {
    ...ingestRows((row) => isWritten(row.backend_ref) || isFresh(row, now().ms)),
    livesBeyondRows: true,
    remove: (tx, { namespace, key }) => {
      const row = findExpiring(tx.db, namespace, key);
      if (row === undefined || isWritten(row.backend_ref)) return { removed: false, next: [] };
      deleteIngest(tx, namespace, key);
      noteIngest(tx, namespace, row.backend_ref);
      if (row.expected !== null) noteOrphans(tx, noteBlobs, [row.expected], namespace);
      tx.afterCommit(() => forgetIngest(row.backend_ref));
      return { removed: true, next: [] };
    },
  };
}

function noteOrphans(
  tx: Transaction,
  noteBlobs: CollectableContentOptions["noteBlobs"],
  digests: readonly string[],
  namespace: string,
): void {
  const orphans = unneededOf(tx.db, digests);
  if (orphans.length > 0) noteBlobs(tx, orphans as Digest[], namespace);
}

function blobResource(namespace: string, key: string, labels: string): Resource {
  return { namespace, key, labels: gcLabels(labels), holds: noEdges, root: false };
}
