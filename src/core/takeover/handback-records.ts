import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { LeaseResource } from "../leases/index.ts";
import type { OldRecord } from "./old-records.ts";

export type HandbackKind = "namespace" | "image" | "container" | "sandbox" | "blob" | "snapshot" | "lease";

/** A record as both stores have it: two of the same name are the same when their marks are. */
export interface HandbackRecord {
  readonly kind: HandbackKind;
  /** A snapshot's is `<snapshotter>/<key>`. */
  readonly name: string;
  readonly mark: string;
}

interface Labelled {
  readonly labels: Readonly<Record<string, string>>;
  readonly updatedAt?: Timestamp | undefined;
}

/** A record that notes when it was changed last. */
export function datedRecord(kind: HandbackKind, name: string, { labels, updatedAt }: Labelled): HandbackRecord {
  const time = updatedAt === undefined ? "" : `${updatedAt.seconds}.${updatedAt.nanos}`;
  return { kind, name, mark: `${time} ${labelText(labels)}` };
}

/** A lease changes without a note of when. */
export function leaseRecord(
  id: string,
  labels: Readonly<Record<string, string>>,
  resources: readonly LeaseResource[],
): HandbackRecord {
  const held = resources.map((resource) => `${resource.type} ${resource.id}`).toSorted();
  return { kind: "lease", name: id, mark: `${labelText(labels)} ${JSON.stringify(held)}` };
}

/** containerd's record; undefined for what is not handed back: unfinished writes, and what no version that is known writes. */
export function oldHandbackRecord(record: OldRecord): HandbackRecord | undefined {
  switch (record.kind) {
    case "namespace":
      return datedRecord("namespace", record.namespace, { labels: Object.fromEntries(record.labels) });
    case "image":
      return datedRecord("image", record.image.name, record.image);
    case "container":
      return datedRecord("container", record.container.id, record.container);
    case "sandbox":
      return datedRecord("sandbox", record.sandbox.sandboxId, record.sandbox);
    case "blob": {
      const { digest, labels, updatedAt } = record.info;
      return datedRecord("blob", digest, { labels: Object.fromEntries(labels), updatedAt: updatedAt.toTimestamp() });
    }
    case "snapshot": {
      const { snapshotter, key, labels, updatedAt } = record.snapshot;
      const facts = { labels: Object.fromEntries(labels), updatedAt: updatedAt.toTimestamp() };
      return datedRecord("snapshot", `${snapshotter}/${key}`, facts);
    }
    case "lease":
      return leaseRecord(record.lease.id, Object.fromEntries(record.lease.labels), record.resources);
    default:
      return undefined;
  }
}

function labelText(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
