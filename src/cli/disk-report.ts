import { expiryOf } from "../client/system/gc-labels.ts";
import { nodeName, type StoreGraph, type StoreNode, sizeOfNodes } from "../client/system/store-graph.ts";
import { formatSpan } from "./units.ts";

/** A line of `system df`. */
export interface DiskRow {
  readonly type: string;
  readonly count: number;
  readonly inUse: number;
  readonly sizeBytes: number;
  readonly reclaimableBytes: number;
}

/** What is alive by itself, and what it keeps. */
export interface HolderRow {
  readonly kind: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly uniqueBytes: number;
  readonly objects: number;
  readonly createdAt: Date;
  readonly why: string;
}

export interface DiskReport {
  readonly rows: readonly DiskRow[];
  readonly sizeBytes: number;
  readonly reclaimableBytes: number;
  readonly holders: readonly HolderRow[];
  readonly leftovers: readonly StoreNode[];
}

export interface Activity {
  /** Ids of containers whose task runs or is paused. */
  readonly running: ReadonlySet<string>;
  /** Which image each container is made from. */
  readonly imageOf: ReadonlyMap<string, string>;
}

/**
 * Who takes how much. Shape: what is shared is counted for the first of images, containers, leases and labels that has it,
 * so that the rows add up to the whole.
 */
export function diskReport(graph: StoreGraph, activity: Activity, now: Date): DiskReport {
  const counted = new Set<string>();
  const sizeOfNew = (nodes: readonly StoreNode[]): number => {
    const fresh = [...graph.closure(nodes.filter(({ root }) => root))].filter((name) => !counted.has(name));
    for (const name of fresh) counted.add(name);
    return graph.sizeOf(fresh);
  };
  const used = new Set(activity.imageOf.values());
  const [images, containers, leases] = [graph.ofKind("image"), graph.ofKind("container"), graph.ofKind("lease")];
  const unusedImages = images.filter(({ key }) => !used.has(key));
  const stopped = containers.filter(({ key }) => !activity.running.has(key));
  const ingests = graph.ofKind("ingest");
  const labelled = graph.roots().filter(({ kind }) => kind === "content" || kind === "snapshot");
  const leftovers = graph.unused();
  const isAlive = ({ root }: StoreNode): boolean => root;
  const row = (type: string, nodes: readonly StoreNode[], idle: readonly StoreNode[], reclaimable = 0): DiskRow => ({
    type,
    count: nodes.length,
    inUse: nodes.length - idle.length,
    sizeBytes: sizeOfNew(nodes),
    reclaimableBytes: reclaimable,
  });
  const rows = [
    row("Images", images, unusedImages, sizeOfNodes(graph.freedBy(unusedImages))),
    row("Containers", containers, stopped, sizeOfNodes(graph.freedBy(stopped))),
    row(
      "Leases",
      leases,
      leases.filter((lease) => !isAlive(lease)),
    ),
    row("Kept by label", labelled, []),
    row("Unfinished blobs", ingests, []),
    leftoverRow(leftovers),
  ];
  const idle = [...images.filter(({ key }) => isIdle(key, activity)), ...stopped];
  return {
    rows,
    sizeBytes: sizeOfNodes([...graph.nodes.values()]),
    reclaimableBytes: sizeOfNodes(graph.freedBy(idle)) + sizeOfNodes(leftovers),
    holders: holderRows(graph, activity, now),
    leftovers: leftovers.toSorted((a, b) => b.sizeBytes - a.sizeBytes),
  };
}

function leftoverRow(leftovers: readonly StoreNode[]): DiskRow {
  const sizeBytes = sizeOfNodes(leftovers);
  return { type: "Leftovers", count: leftovers.length, inUse: 0, sizeBytes, reclaimableBytes: sizeBytes };
}

/** No running container is made from it. */
function isIdle(image: string, { running, imageOf }: Activity): boolean {
  return ![...running].some((id) => imageOf.get(id) === image);
}

function holderRows(graph: StoreGraph, activity: Activity, now: Date): HolderRow[] {
  const holders = graph.holders();
  return graph
    .roots()
    .map((root) => {
      const held = [...graph.closure([root])];
      const own = held.filter((name) => holders.get(name)?.length === 1);
      return {
        kind: root.kind,
        name: root.key,
        sizeBytes: graph.sizeOf(held),
        uniqueBytes: graph.sizeOf(own),
        objects: held.filter((name) => name !== nodeName(root.kind, root.key)).length,
        createdAt: root.createdAt,
        why: whyOf(root, activity, now),
      };
    })
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes);
}

function whyOf({ kind, key, labels }: StoreNode, activity: Activity, now: Date): string {
  switch (kind) {
    case "image": {
      const users = [...activity.imageOf].filter(([, image]) => image === key).map(([id]) => id);
      if (users.length === 0) return "unused";
      return `used by ${users[0]}${users.length === 1 ? "" : ` and ${users.length - 1} more`}`;
    }
    case "container":
      return activity.running.has(key) ? "running" : "stopped";
    case "lease": {
      const at = expiryOf(labels);
      return at === undefined ? "until it is removed" : `for ${formatSpan(at.getTime() - now.getTime())} more`;
    }
    case "ingest":
      return "being written";
    default:
      return labels["lighter/mounted-at"] === undefined
        ? "its own label"
        : `mounted on ${labels["lighter/mounted-at"]}`;
  }
}
