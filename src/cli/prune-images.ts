import type { Client } from "../client/client.ts";
import { readStore } from "../client/system/read-store.ts";
import { nodeName, type StoreGraph, type StoreNode, sizeOfNodes } from "../client/system/store-graph.ts";
import { isFault } from "../lib/faults.ts";

/** Images that may go. */
export interface PruneRules {
  /** Those with tags too, not only those that lost theirs. */
  readonly all: boolean;
  /** Only those made before then. */
  readonly until?: Date | undefined;
  /** Names of images that containers are made from. */
  readonly used: ReadonlySet<string>;
}

/** Unused images, the oldest first. */
export function prunableImages(graph: StoreGraph, { all, until, used }: PruneRules): StoreNode[] {
  return graph
    .ofKind("image")
    .filter(({ key, createdAt }) => {
      if (used.has(key) || (until !== undefined && createdAt >= until)) return false;
      return all || !isTagged(key);
    })
    .toSorted((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
}

/** A name without a tag: what is left of an image when its tag moved on, or when it came by digest. */
function isTagged(name: string): boolean {
  if (/@|^sha256:|^<none>/.test(name)) return false;
  return /:[^/:]+$/.test(name);
}

/** The images that containers are made from. */
export async function usedImages(client: Client): Promise<Set<string>> {
  const { containers } = await client.containers.list({});
  return new Set(containers.map(({ image }) => image).filter((image) => image !== ""));
}

/**
 * Removes roots (images, leases), waits for the collection, and answers how much it gave back.
 * Shape: what is counted is what nothing held after it and what is really gone.
 */
export async function removeRoots(
  client: Client,
  graph: StoreGraph,
  roots: readonly StoreNode[],
  onRemoved: (node: StoreNode) => void,
): Promise<{ readonly freedBytes: number; readonly objects: number }> {
  const freed = graph.freedBy(roots);
  for (const [i, node] of roots.entries()) {
    await removeRoot(client, node, i === roots.length - 1);
    onRemoved(node);
  }
  if (roots.length === 0) return { freedBytes: 0, objects: 0 };
  const after = await readStore(client, { measure: false });
  const gone = freed.filter(({ kind, key }) => !after.nodes.has(nodeName(kind, key)));
  return { freedBytes: sizeOfNodes(gone), objects: gone.length };
}

async function removeRoot(client: Client, { kind, key }: StoreNode, sync: boolean): Promise<void> {
  try {
    if (kind === "image") await client.images.delete({ name: key, sync });
    else await client.leases.delete({ id: key, sync });
  } catch (error) {
    // Somebody else was faster.
    if (!isFault(error, "notFound")) throw error;
  }
}
