import type { Clock } from "../../lib/clock.ts";
import type { Digest } from "../../lib/digest.ts";
import { type Collectable, gcLabels, type Resource } from "../gc/index.ts";
import type { Transaction } from "../metadata/index.ts";
import {
  blobsAfter,
  deleteBlob,
  deleteIngest,
  type ExpiringRow,
  findBlob,
  findExpiring,
  findLabels,
  ingestsAfter,
  isNeeded,
} from "./store.ts";

export interface CollectableContentOptions {
  /** Note that bytes are to go which nobody needs any more. */
  readonly noteBlob: (tx: Transaction, digest: Digest, namespace: string) => void;
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

function collectableBlobs({ noteBlob, clean }: CollectableContentOptions): Collectable {
  return {
    kind: "content",
    page: (db, after, limit) =>
      blobsAfter(db, after?.namespace ?? "", after?.key ?? "", limit).map((row) =>
        blobResource(row.namespace, row.digest, row.labels),
      ),
    find: (db, namespace, key) => {
      const labels = findLabels(db, namespace, key);
      return labels === undefined ? undefined : blobResource(namespace, key, labels);
    },
    remove: (tx, { namespace, key }) => {
      const digest = key as Digest;
      const removed = deleteBlob(tx, namespace, digest);
      if (removed) noteOrphan(tx, noteBlob, digest, namespace);
      return { removed, next: [] };
    },
    clean,
    sizeBytes: (db, namespace, key) => findBlob(db, namespace, key as Digest)?.sizeBytes ?? 0,
  };
}

/** An unfinished write lives for as long as a lease holds it or its time has not passed, and while somebody writes it. */
function collectableIngests(options: CollectableContentOptions): Collectable {
  const { noteBlob, noteIngest, isWritten, forgetIngest, now } = options;
  const resource = (row: ExpiringRow): Resource => ({
    namespace: row.namespace,
    key: row.ref,
    labels: [],
    holds:
      row.expected === null
        ? noEdges
        : [{ node: { kind: "content", namespace: row.namespace, key: row.expected }, how: "expected" }],
    root: isWritten(row.backend_ref) || (row.expire_at !== null && now().ms <= row.expire_at),
  });
  return {
    kind: "ingest",
    page: (db, after, limit) => ingestsAfter(db, after?.namespace ?? "", after?.key ?? "", limit).map(resource),
    find: (db, namespace, key) => {
      const row = findExpiring(db, namespace, key);
      return row === undefined ? undefined : resource(row);
    },
    remove: (tx, { namespace, key }) => {
      const row = findExpiring(tx.db, namespace, key);
      if (row === undefined || isWritten(row.backend_ref)) return { removed: false, next: [] };
      deleteIngest(tx, namespace, key);
      noteIngest(tx, namespace, row.backend_ref);
      if (row.expected !== null) noteOrphan(tx, noteBlob, row.expected as Digest, namespace);
      tx.afterCommit(() => forgetIngest(row.backend_ref));
      return { removed: true, next: [] };
    },
  };
}

function noteOrphan(
  tx: Transaction,
  noteBlob: CollectableContentOptions["noteBlob"],
  digest: Digest,
  namespace: string,
): void {
  if (!isNeeded(tx.db, digest)) noteBlob(tx, digest, namespace);
}

function blobResource(namespace: string, key: string, labels: string): Resource {
  return { namespace, key, labels: gcLabels(labels), holds: noEdges, root: false };
}
