import type { Metadata, ResourceKind } from "../metadata/index.ts";
import type { Collectable, CollectionStats, ResourceCollector, ResourceNode } from "./gc.ts";
import { Marking } from "./marking.ts";
import { type Busy, type Pace, runPaced } from "./pace.ts";
import { ReferenceGraph } from "./reference-graph.ts";
import { PendingCommits, sweepTable } from "./sweep.ts";

export interface CollectionOptions {
  readonly metadata: Metadata;
  /** What refers comes before what is referred to: the order in which rows go. */
  readonly tables: readonly Collectable[];
  readonly collectors: Iterable<ResourceCollector>;
  readonly pace: Pace;
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

/**
 * One collection: marks in slices what is alive, while others go on to write, removes the rest in small transactions, and
 * then its files. Die at any point, and each object is either whole or gone, its files noted for removal; the next collection
 * goes on.
 */
export async function collectOnce(options: CollectionOptions): Promise<CollectionStats> {
  const { metadata, tables, pace, nowMs, signal } = options;
  const collectors = [...options.collectors];
  const start = performance.now();
  const busy: Busy = { busyMs: 0, longestMs: 0 };
  const removed = new Map<ResourceKind, number>();
  // What comes while it goes on is not looked at.
  const there = collectors.map((collector) => Array.from(collector.all()));
  const marking = new Marking(new ReferenceGraph({ metadata, tables, collectors, nowMs }), metadata);
  using _watch = metadata.watch({ touched: (kind, namespace, key) => marking.touch(kind, namespace, key) });
  await runPaced(marking.steps(), pace, busy, signal);
  const drain = (): Promise<void> => runPaced(marking.drain(), pace, busy, signal);
  const pending = new PendingCommits();
  for (const table of tables)
    await sweepTable(table, { metadata, marking, pace, busy, signal, removed, drain, pending });
  await pending.settle();
  for (const [at, collector] of collectors.entries()) removeDead(collector, there[at] ?? [], marking, removed);
  await Promise.all(tables.map(async (table) => table.clean?.()));
  return { alive: marking.count, removed, ...busy, elapsedMs: performance.now() - start };
}

function removeDead(
  collector: ResourceCollector,
  nodes: readonly ResourceNode[],
  marking: Marking,
  removed: Map<ResourceKind, number>,
): void {
  for (const node of nodes) {
    if (marking.isAlive(node)) continue;
    collector.remove(node);
    removed.set(node.kind, (removed.get(node.kind) ?? 0) + 1);
  }
}
