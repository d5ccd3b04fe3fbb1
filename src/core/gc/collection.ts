import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Metadata, ResourceKind } from "../metadata/index.ts";
import type { Collectable, CollectionStats, ResourceCollector, ResourceNode } from "./gc.ts";
import { Marking } from "./marking.ts";
import { type Busy, type Pace, runPaced } from "./pace.ts";
import { ReferenceGraph } from "./reference-graph.ts";
import { PendingCommits, type SweepOptions, sweepTable } from "./sweep.ts";
import { collectByWorker, type WorkerMarking } from "./worker-marking.ts";

export interface CollectionOptions {
  readonly metadata: Metadata;
  /** What refers comes before what is referred to: the order in which rows go. */
  readonly tables: readonly Collectable[];
  readonly collectors: Iterable<ResourceCollector>;
  readonly pace: Pace;
  readonly nowMs: number;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** From this size of the database on, marking is done by a process of its own. */
  readonly workerBytes: number;
}

/** A collection under way. */
interface Collection {
  readonly options: CollectionOptions;
  readonly collectors: readonly ResourceCollector[];
  readonly graph: ReferenceGraph;
  readonly sweep: SweepOptions;
}

/**
 * One collection: marks what is alive, while others go on to write, removes the rest in small transactions, and
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
  const graph = new ReferenceGraph({ metadata, tables, collectors, nowMs });
  const marking = new Marking(graph, metadata);
  using _watch = metadata.watch({ touched: (kind, namespace, key) => marking.touch(kind, namespace, key) });
  const drain = (): Promise<void> => runPaced(marking.drain(), pace, busy, signal);
  const pending = new PendingCommits();
  const sweep: SweepOptions = { metadata, marking, pace, busy, signal, removed, drain, pending };
  const marked = await collectRows({ options, collectors, graph, sweep });
  await pending.settle();
  for (const [at, collector] of collectors.entries()) removeDead(collector, there[at] ?? [], marking, removed);
  await Promise.all(tables.map(async (table) => table.clean?.()));
  return { ...marked, removed, ...busy, elapsedMs: performance.now() - start };
}

/** Marks, and removes the rows of what is dead. */
async function collectRows(collection: Collection): Promise<Pick<CollectionStats, "alive" | "elsewhereMs">> {
  const { options, sweep } = collection;
  if (options.metadata.sizeBytes() >= options.workerBytes) {
    const marked = await collectElsewhere(collection);
    if (marked !== undefined) return { alive: marked.alive, elsewhereMs: marked.elapsedMs };
  }
  await runPaced(sweep.marking.steps(), sweep.pace, sweep.busy, sweep.signal);
  for (const table of options.tables) await sweepTable(table, sweep);
  return { alive: sweep.marking.count, elsewhereMs: 0 };
}

/** Undefined when it could not be done, with nothing removed. Errors: what came in the way once rows were being removed. */
async function collectElsewhere({
  options: { metadata, tables, nowMs, log },
  collectors,
  graph,
  sweep,
}: Collection): Promise<WorkerMarking["marked"]> {
  const progress: WorkerMarking = { marked: undefined };
  try {
    using frozen = await metadata.freeze();
    if (frozen === undefined) return undefined;
    await collectByWorker({ frozen, tables, collectors, graph, nowMs, sweep }, progress);
  } catch (error) {
    if (progress.marked !== undefined || sweep.signal.aborted) throw error;
    log.warn("garbage is marked on the loop: a process of its own could not do it", { error: messageOf(error) });
  }
  return progress.marked;
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
