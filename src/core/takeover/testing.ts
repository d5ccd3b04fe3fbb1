import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { ContainerCreateSchema } from "../../gen/containerd/events/container_pb.ts";
import { type BoltTree, boltTree, writeBolt } from "../../lib/bolt/testing.ts";
import { digestOf } from "../../lib/digest.ts";
import { anyOf } from "../../wire/any.ts";

// What containerd would write, for tests without one.

/** Source: Go's time.MarshalBinary, version 1, UTC. */
export function goTime(seconds: number, nanos: number): Uint8Array {
  const bytes = Buffer.alloc(15);
  bytes.writeUInt8(1, 0);
  bytes.writeBigInt64BE(BigInt(seconds) + 62_135_596_800n, 1);
  bytes.writeInt32BE(nanos, 9);
  bytes.writeInt16BE(-1, 13);
  return bytes;
}

/** Source: Go's binary.PutUvarint. */
export function uvarint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(rest)]);
}

/** Source: Go's binary.PutVarint. */
export function varint(value: bigint): Uint8Array {
  return uvarint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
}

export const oldMoment = { seconds: 1_700_000_000, nanos: 123_456_789 } as const;

const times = { createdat: goTime(oldMoment.seconds, oldMoment.nanos), updatedat: goTime(oldMoment.seconds + 1, 1) };
/** Some message: what is in it is nobody's business here. */
export const oldMessage: Any = anyOf(ContainerCreateSchema, create(ContainerCreateSchema, { id: "some" }));
const message = toBinary(AnySchema, oldMessage);

const blobBytes = "a blob";
export const oldBlob: string = digestOf(blobBytes);
export const missingBlob: string = digestOf("not there");

export interface OldRootOptions {
  readonly transaction?: bigint;
  /** More of a namespace's collections. */
  readonly more?: Readonly<Record<string, BoltTree>>;
  /** How many leases there are besides. */
  readonly leases?: number;
}

/**
 * Lays out a root as a containerd leaves it: a namespace with one record of each sort, snapshots 1 to 3 of overlayfs (of which one
 * lost its parent), one of a snapshotter that nobody knows, and a blob without its file.
 */
export function writeOldRoot(root: string, options: OldRootOptions = {}): void {
  const overlay = join(root, "io.containerd.snapshotter.v1.overlayfs");
  for (const id of [1, 2, 3]) mkdirSync(join(overlay, "snapshots", String(id), "fs"), { recursive: true });
  writeBolt(join(overlay, "metadata.db"), boltTree({ v1: boltTree({ snapshots: backendTree() }) }));
  const blobs = join(root, "io.containerd.content.v1.content/blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(blobs, oldBlob.slice("sha256:".length)), blobBytes);
  const metadata = join(root, "io.containerd.metadata.v1.bolt");
  mkdirSync(metadata, { recursive: true });
  const { more = {}, leases = 0, transaction = 2n } = options;
  const v1 = boltTree({
    version: varint(3n),
    moby: boltTree({}),
    default: boltTree({ ...namespaceTree(leases), ...more }),
  });
  // Where sandboxes lay before containerd 2.0.
  const before = boltTree({ sandboxes: boltTree({ old: sandboxTree() }) });
  writeBolt(join(metadata, "meta.db"), boltTree({ v1, default: before }), transaction);
}

function namespaceTree(leases: number): Record<string, BoltTree> {
  const many = Array.from(
    { length: leases },
    (_none, at) => [`many-${at}`, boltTree({ createdat: times.createdat })] as const,
  );
  return {
    labels: boltTree({ team: "harbour" }),
    images: boltTree({ "docker.io/library/busybox:1": imageTree() }),
    containers: boltTree({ c1: containerTree() }),
    sandboxes: boltTree({ new: sandboxTree() }),
    leases: new Map([["held", leaseTree()], ...many]),
    content: boltTree({
      blob: boltTree({
        [oldBlob]: boltTree({ ...times, size: varint(6n), labels: boltTree({ "containerd.io/gc.root": "yes" }) }),
        [missingBlob]: boltTree({ ...times, size: varint(9n) }),
      }),
      ingests: boltTree({ upload: boltTree({ ref: "default/1/upload", expireat: goTime(4_000_000_000, 0) }) }),
    }),
    snapshots: boltTree({
      overlayfs: boltTree({
        base: snapshotTree("default/1/base"),
        work: snapshotTree("default/2/work", "base"),
        orphan: snapshotTree("default/3/orphan"),
      }),
      devmapper: boltTree({ thin: snapshotTree("default/1/thin") }),
    }),
  };
}

function backendTree(): BoltTree {
  const usage = { inodes: varint(7n), size: varint(4096n) };
  return boltTree({
    "default/1/base": boltTree({ ...times, ...usage, id: uvarint(1n), kind: Uint8Array.of(3) }),
    "default/2/work": boltTree({ ...times, id: uvarint(2n), kind: Uint8Array.of(2), parent: "default/1/base" }),
    "default/3/orphan": boltTree({ ...times, id: uvarint(3n), kind: Uint8Array.of(2), parent: "default/9/gone" }),
  });
}

function snapshotTree(name: string, parent = ""): BoltTree {
  return boltTree({ ...times, name, parent, labels: boltTree({ of: name }), children: boltTree({ any: "" }) });
}

function imageTree(): BoltTree {
  return boltTree({
    ...times,
    labels: boltTree({ a: "1" }),
    annotations: boltTree({ b: "2" }),
    target: boltTree({ digest: oldBlob, mediatype: "application/vnd.oci.image.index.v1+json", size: varint(6n) }),
  });
}

function containerTree(): BoltTree {
  return boltTree({
    ...times,
    image: "docker.io/library/busybox:1",
    snapshotter: "overlayfs",
    snapshotKey: "work",
    sandboxid: "new",
    spec: message,
    runtime: boltTree({ name: "io.containerd.runc.v2", options: message }),
    extensions: boltTree({ extra: message }),
    labels: boltTree({ role: "tug" }),
  });
}

function sandboxTree(): BoltTree {
  return boltTree({
    ...times,
    spec: message,
    sandboxer: "shim",
    runtime: boltTree({ name: "io.containerd.runc.v2" }),
    labels: boltTree({ pod: "p" }),
  });
}

function leaseTree(): BoltTree {
  return boltTree({
    createdat: times.createdat,
    labels: boltTree({ why: "test" }),
    content: boltTree({ [oldBlob]: "" }),
    images: boltTree({ "docker.io/library/busybox:1": "" }),
    ingests: boltTree({ upload: "" }),
    snapshots: boltTree({ overlayfs: boltTree({ base: "" }) }),
  });
}
