import type { Metadata } from "../metadata/index.ts";
import type { Edge, HoldingPath, ResourceNode } from "./gc.ts";
import { nodeKey, type ReferenceGraph } from "./reference-graph.ts";

/** How an object was first reached. */
interface Link {
  readonly edge: Edge;
  readonly from: string | undefined;
}

/** A search from all roots at once, nearest first. */
export interface Explanation {
  readonly steps: Generator<void, void>;
  /** The path that was found, once the steps are done. */
  path(): HoldingPath | undefined;
}

/** Finds by what an object is held. A lease is a root; what it holds comes after it. */
export function explainSteps(graph: ReferenceGraph, metadata: Metadata, target: ResourceNode): Explanation {
  const links = new Map<string, Link>();
  const queue: ResourceNode[] = [];
  const wanted = nodeKey(target);
  const reach = (node: ResourceNode, from: ResourceNode | undefined, how: string): void => {
    const key = nodeKey(node);
    if (links.has(key)) return;
    links.set(key, { edge: { node, how }, from: from === undefined ? undefined : nodeKey(from) });
    queue.push(node);
  };
  function* steps(): Generator<void, void> {
    yield* graph.scan((node, from, how) => {
      if (from !== undefined) reach(from, undefined, "root");
      reach(node, from, how);
    });
    for (let at = 0; at < queue.length && !links.has(wanted); at++) {
      const node = queue[at] as ResourceNode;
      const edges = metadata.read((db) => graph.edges(db, node));
      for (const edge of edges) reach(edge.node, node, edge.how);
      yield;
    }
  }
  return { steps: steps(), path: () => pathTo(links, wanted) };
}

function pathTo(links: ReadonlyMap<string, Link>, wanted: string): HoldingPath | undefined {
  const path: Edge[] = [];
  for (
    let link = links.get(wanted);
    link !== undefined;
    link = link.from === undefined ? undefined : links.get(link.from)
  ) {
    path.unshift(link.edge);
  }
  return path.length === 0 ? undefined : path;
}
