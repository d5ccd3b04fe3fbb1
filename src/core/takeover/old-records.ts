import { create } from "@bufbuild/protobuf";
import {
  type Container,
  Container_RuntimeSchema,
  ContainerSchema,
} from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { type Image, ImageSchema } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { DescriptorSchema } from "../../gen/containerd/types/descriptor_pb.ts";
import { type Sandbox, Sandbox_RuntimeSchema, SandboxSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import type { BoltBucket } from "../../lib/bolt/index.ts";
import { type Digest, digestProblem } from "../../lib/digest.ts";
import { FaultError, quote, wrapFault } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import { labelRecord } from "../../lib/labels.ts";
import type { ContentInfo } from "../content/index.ts";
import type { LeaseInfo, LeaseResource } from "../leases/index.ts";
import { anyFrom, type Fields, fieldsOf, keysOf, textOf, textsOf, timeOf, varintOf } from "./fields.ts";

/** One record of containerd's metadata, in our own words. */
export type OldRecord =
  | { readonly kind: "namespace"; readonly namespace: string; readonly labels: ReadonlyMap<string, string> }
  | { readonly kind: "image"; readonly namespace: string; readonly image: Image }
  | { readonly kind: "container"; readonly namespace: string; readonly container: Container }
  | { readonly kind: "sandbox"; readonly namespace: string; readonly sandbox: Sandbox }
  | { readonly kind: "blob"; readonly namespace: string; readonly info: ContentInfo }
  | { readonly kind: "ingest"; readonly namespace: string; readonly ingest: OldIngest }
  | { readonly kind: "snapshot"; readonly namespace: string; readonly snapshot: OldSnapshot }
  | {
      readonly kind: "lease";
      readonly namespace: string;
      readonly lease: LeaseInfo;
      readonly resources: readonly LeaseResource[];
    }
  /** Something that no version we know of writes. */
  | { readonly kind: "unknown"; readonly namespace: string; readonly name: string };

export interface OldIngest {
  readonly ref: string;
  readonly backendRef: string;
  readonly expected: string;
  readonly expireAt: Instant | undefined;
}

/** A snapshot as its namespace knows it; the rest is in the snapshotter's own database, under the backend's name. */
export interface OldSnapshot {
  readonly snapshotter: string;
  readonly key: string;
  readonly backendName: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** Source: containerd core/metadata/buckets.go: the schema that has not changed its name since 1.0. */
const schemaBucket = "v1";

/** The schema's minor version: 3 in containerd 1.6, 4 since 2.0; 0 for a database that is empty. */
export function schemaVersion(root: BoltBucket): number {
  return varintOf(root.bucket(schemaBucket)?.get("version"));
}

/**
 * Reads containerd's metadata, namespace by namespace.
 * Errors: dataLoss, naming the record that cannot be read. Effects: one record is held at a time.
 * Source: containerd core/metadata/buckets.go for the layout; migrations.go for sandboxes, which lay outside before 2.0.
 */
export function* readRecords(root: BoltBucket): Generator<OldRecord> {
  const known = new Set<string>();
  for (const { key, bucket } of root.bucket(schemaBucket)?.entries() ?? []) {
    if (bucket === undefined) continue;
    const namespace = textOf(key);
    known.add(namespace);
    yield* namespaceRecords(namespace, bucket);
  }
  for (const { key, bucket } of root.entries()) {
    const namespace = textOf(key);
    if (bucket === undefined || namespace === schemaBucket) continue;
    if (!known.has(namespace)) yield { kind: "namespace", namespace, labels: new Map() };
    yield* each(namespace, "sandbox", bucket.bucket("sandboxes"), sandboxOf);
  }
}

function* namespaceRecords(namespace: string, bucket: BoltBucket): Generator<OldRecord> {
  const { buckets } = fieldsOf(bucket);
  yield { kind: "namespace", namespace, labels: textsOf(buckets.get("labels")) };
  for (const [name, below] of buckets) {
    if (name === "images") yield* each(namespace, "image", below, imageOf);
    else if (name === "containers") yield* each(namespace, "container", below, containerOf);
    else if (name === "sandboxes") yield* each(namespace, "sandbox", below, sandboxOf);
    else if (name === "leases") yield* each(namespace, "lease", below, leaseOf);
    else if (name === "snapshots") yield* snapshotRecords(namespace, below);
    else if (name === "content") yield* contentRecords(namespace, below);
    else if (name !== "labels") yield { kind: "unknown", namespace, name };
  }
}

function* contentRecords(namespace: string, bucket: BoltBucket): Generator<OldRecord> {
  yield* each(namespace, "blob", bucket.bucket("blob"), blobOf);
  yield* each(namespace, "ingest", bucket.bucket("ingests"), ingestOf);
}

function* snapshotRecords(namespace: string, bucket: BoltBucket): Generator<OldRecord> {
  for (const [snapshotter, below] of fieldsOf(bucket).buckets) {
    yield* each(namespace, "snapshot", below, (_namespace, key, fields) =>
      snapshotOf(namespace, snapshotter, key, fields),
    );
  }
}

/** Every record of a bucket; what cannot be read is named. */
function* each(
  namespace: string,
  what: string,
  bucket: BoltBucket | undefined,
  decode: (namespace: string, key: string, fields: Fields) => OldRecord,
): Generator<OldRecord> {
  for (const entry of bucket?.entries() ?? []) {
    if (entry.bucket === undefined) continue;
    const key = textOf(entry.key);
    try {
      yield decode(namespace, key, fieldsOf(entry.bucket));
    } catch (error) {
      throw wrapFault(`${what} ${quote(key)} of namespace ${quote(namespace)}`, error);
    }
  }
}

function imageOf(namespace: string, name: string, { values, buckets }: Fields): OldRecord {
  const target = fieldsOf(buckets.get("target")).values;
  const image = create(ImageSchema, {
    name,
    labels: labelRecord(textsOf(buckets.get("labels"))),
    target: create(DescriptorSchema, {
      digest: textOf(target.get("digest")),
      mediaType: textOf(target.get("mediatype")),
      size: BigInt(varintOf(target.get("size"))),
      annotations: labelRecord(textsOf(buckets.get("annotations"))),
    }),
    ...timestampsOf(values),
  });
  return { kind: "image", namespace, image };
}

function containerOf(namespace: string, id: string, { values, buckets }: Fields): OldRecord {
  const container = create(ContainerSchema, {
    id,
    labels: labelRecord(textsOf(buckets.get("labels"))),
    image: textOf(values.get("image")),
    runtime: create(Container_RuntimeSchema, runtimeOf(buckets)),
    snapshotter: textOf(values.get("snapshotter")),
    snapshotKey: textOf(values.get("snapshotKey")),
    sandbox: textOf(values.get("sandboxid")),
    extensions: extensionsOf(buckets),
    ...timestampsOf(values),
  });
  container.spec = anyFrom(values.get("spec"));
  return { kind: "container", namespace, container };
}

function sandboxOf(namespace: string, sandboxId: string, { values, buckets }: Fields): OldRecord {
  const sandbox = create(SandboxSchema, {
    sandboxId,
    labels: labelRecord(textsOf(buckets.get("labels"))),
    runtime: create(Sandbox_RuntimeSchema, runtimeOf(buckets)),
    sandboxer: textOf(values.get("sandboxer")),
    extensions: extensionsOf(buckets),
    ...timestampsOf(values),
  });
  sandbox.spec = anyFrom(values.get("spec"));
  return { kind: "sandbox", namespace, sandbox };
}

function blobOf(namespace: string, digest: string, { values, buckets }: Fields): OldRecord {
  // It becomes a path.
  const problem = digestProblem(digest);
  if (problem !== undefined) throw new FaultError("dataLoss", problem);
  const info: ContentInfo = {
    digest: digest as Digest,
    sizeBytes: varintOf(values.get("size")),
    labels: textsOf(buckets.get("labels")),
    ...timesOf(values),
  };
  return { kind: "blob", namespace, info };
}

function ingestOf(namespace: string, ref: string, { values }: Fields): OldRecord {
  const expireAt = values.get("expireat");
  const ingest: OldIngest = {
    ref,
    backendRef: textOf(values.get("ref")),
    expected: textOf(values.get("expected")),
    expireAt: expireAt === undefined ? undefined : timeOf(expireAt),
  };
  return { kind: "ingest", namespace, ingest };
}

function snapshotOf(namespace: string, snapshotter: string, key: string, { values, buckets }: Fields): OldRecord {
  const labels = textsOf(buckets.get("labels"));
  const backendName = textOf(values.get("name"));
  return { kind: "snapshot", namespace, snapshot: { snapshotter, key, backendName, labels, ...timesOf(values) } };
}

function leaseOf(namespace: string, id: string, { values, buckets }: Fields): OldRecord {
  const resources: LeaseResource[] = [];
  for (const type of ["content", "ingests", "images"])
    for (const resource of keysOf(buckets.get(type))) resources.push({ type, id: resource });
  for (const [snapshotter, keys] of fieldsOf(buckets.get("snapshots")).buckets)
    for (const key of keysOf(keys)) resources.push({ type: `snapshots/${snapshotter}`, id: key });
  const lease: LeaseInfo = { id, createdAt: timeOf(values.get("createdat")), labels: textsOf(buckets.get("labels")) };
  return { kind: "lease", namespace, lease, resources };
}

function runtimeOf(buckets: Fields["buckets"]): { name: string; options?: NonNullable<ReturnType<typeof anyFrom>> } {
  const { values } = fieldsOf(buckets.get("runtime"));
  const options = anyFrom(values.get("options"));
  return { name: textOf(values.get("name")), ...(options === undefined ? {} : { options }) };
}

function extensionsOf(buckets: Fields["buckets"]): Container["extensions"] {
  const extensions: Container["extensions"] = {};
  for (const [name, value] of fieldsOf(buckets.get("extensions")).values) {
    const message = anyFrom(value);
    if (message !== undefined) extensions[name] = message;
  }
  return extensions;
}

function timesOf(values: Fields["values"]): { createdAt: Instant; updatedAt: Instant } {
  return { createdAt: timeOf(values.get("createdat")), updatedAt: timeOf(values.get("updatedat")) };
}

function timestampsOf(values: Fields["values"]): Pick<Image, "createdAt" | "updatedAt"> {
  const { createdAt, updatedAt } = timesOf(values);
  return { createdAt: createdAt.toTimestamp(), updatedAt: updatedAt.toTimestamp() };
}
