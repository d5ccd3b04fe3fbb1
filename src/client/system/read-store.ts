import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Info as BlobInfo, Status } from "../../gen/containerd/services/content/v1/content_pb.ts";
import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import type { Client } from "../client.ts";
import { dateOf } from "../containers/tasks.ts";
import { listBlobs, listIngests } from "../content/blobs.ts";
import { type HeldLease, listHeldLeases } from "../leases/leases.ts";
import { listSnapshots, type Snapshot, snapshotterNames, snapshotUsage } from "../snapshots/snapshots.ts";
import { expiryOf, heldByLabels, holdersByLabels, isFlat, isRooted } from "./gc-labels.ts";
import { nodeName, StoreGraph, type StoreNode } from "./store-graph.ts";

/** So many snapshots are measured at once. */
const measuredAtOnce = 32;

export interface StoreOptions {
  /** Ask what each snapshot takes: one call each. */
  readonly measure: boolean;
}

/** Reads all that the client's namespace has, and what holds what. */
export async function readStore(client: Client, { measure }: StoreOptions): Promise<StoreGraph> {
  const [{ images }, { containers }, leases, blobs, ingests, snapshots] = await Promise.all([
    client.images.list({}),
    client.containers.list({}),
    listHeldLeases(client),
    listBlobs(client),
    listIngests(client),
    allSnapshots(client),
  ]);
  const sizes = measure ? await measured(client, snapshots) : new Map<string, number>();
  const nodes = [
    ...images.map(imageNode),
    ...containers.map(containerNode),
    ...leases.map(leaseNode),
    ...blobs.map(blobNode),
    ...ingests.map(ingestNode),
    ...snapshots.map((snapshot) => snapshotNode(snapshot, sizes.get(keyOf(snapshot)) ?? 0)),
  ];
  return new StoreGraph(withBackReferences(nodes));
}

async function allSnapshots(client: Client): Promise<Snapshot[]> {
  const names = await snapshotterNames(client);
  return (await Promise.all(names.map((name) => listSnapshots(client, name)))).flat();
}

async function measured(client: Client, snapshots: readonly Snapshot[]): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const waiting = [...snapshots];
  const worker = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      sizes.set(keyOf(next), (await snapshotUsage(client, next.snapshotter, next.name))?.sizeBytes ?? 0);
    }
  };
  await Promise.all(Array.from({ length: measuredAtOnce }, worker));
  return sizes;
}

function keyOf({ snapshotter, name }: Snapshot): string {
  return `${snapshotter}/${name}`;
}

/** An object that says by whom it is held is held by that one. */
function withBackReferences(nodes: readonly StoreNode[]): StoreNode[] {
  const extra = new Map<string, string[]>();
  for (const node of nodes) {
    for (const holder of holdersByLabels(node.labels)) {
      const list = extra.get(holder);
      if (list === undefined) extra.set(holder, [nodeName(node.kind, node.key)]);
      else list.push(nodeName(node.kind, node.key));
    }
  }
  if (extra.size === 0) return [...nodes];
  return nodes.map((node) => {
    const more = extra.get(nodeName(node.kind, node.key));
    return more === undefined ? node : { ...node, holds: [...node.holds, ...more] };
  });
}

function isExpired(labels: Readonly<Record<string, string>>): boolean {
  const at = expiryOf(labels);
  return at !== undefined && at.getTime() < Date.now();
}

function imageNode({ name, labels, target, createdAt }: Image): StoreNode {
  const holds = target === undefined ? [] : [nodeName("content", target.digest)];
  return {
    kind: "image",
    key: name,
    sizeBytes: 0,
    createdAt: dateOf(createdAt),
    labels,
    holds: [...holds, ...heldByLabels(labels)],
    root: !isExpired(labels),
  };
}

function containerNode({ id, labels, snapshotter, snapshotKey, createdAt }: Container): StoreNode {
  const holds = snapshotKey === "" ? [] : [nodeName("snapshot", `${snapshotter}/${snapshotKey}`)];
  return {
    kind: "container",
    key: id,
    sizeBytes: 0,
    createdAt: dateOf(createdAt),
    labels,
    holds: [...holds, ...heldByLabels(labels)],
    root: true,
  };
}

function leaseNode({ id, labels, createdAt, resources }: HeldLease): StoreNode {
  return {
    kind: "lease",
    key: id,
    sizeBytes: 0,
    createdAt,
    labels,
    holds: [...resources.map(({ kind, key }) => nodeName(kind, key)), ...heldByLabels(labels)],
    root: !isExpired(labels),
    flat: isFlat(labels),
  };
}

function blobNode({ digest, size, labels, createdAt }: BlobInfo): StoreNode {
  return {
    kind: "content",
    key: digest,
    sizeBytes: Number(size),
    createdAt: dateOf(createdAt),
    labels,
    holds: heldByLabels(labels),
    root: isRooted(labels),
  };
}

/** An unfinished write: whether its time has passed is not told. */
function ingestNode({ ref, offset, expected, startedAt }: Status): StoreNode {
  return {
    kind: "ingest",
    key: ref,
    sizeBytes: Number(offset),
    createdAt: dateOf(startedAt),
    labels: {},
    holds: expected === "" ? [] : [nodeName("content", expected)],
    root: true,
  };
}

function snapshotNode(snapshot: Snapshot, sizeBytes: number): StoreNode {
  const { snapshotter, parent, labels, createdAt } = snapshot;
  const holds = parent === "" ? [] : [nodeName("snapshot", `${snapshotter}/${parent}`)];
  return {
    kind: "snapshot",
    key: keyOf(snapshot),
    sizeBytes,
    createdAt,
    labels,
    holds: [...holds, ...heldByLabels(labels)],
    root: isRooted(labels),
  };
}
