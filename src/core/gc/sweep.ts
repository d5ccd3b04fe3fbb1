import type { Metadata, ResourceKind, Transaction } from "../metadata/index.ts";
import type { Collectable, Resource, ResourceNode } from "./gc.ts";
import type { Marking } from "./marking.ts";
import { type Busy, note, type Pace } from "./pace.ts";

/** How many rows are looked at at once, and how many are removed in one transaction at most: no more than fill a slice. */
const pageRows = 24;
const batchRows = 16;
/** A commit costs about a slice by itself: fewer rows for each would make more of them. */
const removalSlices = 2;
/** How much of what was touched meanwhile is followed inside a transaction; more is followed outside, in slices. */
const settleSteps = 24;

export interface SweepOptions {
  readonly metadata: Metadata;
  readonly marking: Marking;
  readonly pace: Pace;
  readonly busy: Busy;
  readonly signal: AbortSignal;
  readonly removed: Map<ResourceKind, number>;
  /** Follows what was touched, in slices. */
  readonly drain: () => Promise<void>;
  /** Transactions that are on their way to the disk; the sweep goes on meanwhile. */
  readonly pending: PendingCommits;
}

/** Commits that are waited for at the end. */
export class PendingCommits {
  readonly #commits = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  add(commit: Promise<unknown>): void {
    const settled = commit
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => void this.#commits.delete(settled));
    this.#commits.add(settled);
  }

  /** Errors: the first that a commit failed with. */
  async settle(): Promise<void> {
    await Promise.all(this.#commits);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/**
 * Removes the rows of one kind that are not alive, in small transactions. Each looks again at each of its rows, after all that
 * was touched until then has been followed: nothing can change between the look and the removal.
 */
export async function sweepTable(table: Collectable, options: SweepOptions): Promise<void> {
  const { metadata, marking, pace, busy, signal } = options;
  if (table.remove === undefined) return;
  let last: Resource | undefined;
  for (;;) {
    signal.throwIfAborted();
    const start = performance.now();
    const page = metadata.read((db) => table.page(db, last, pageRows));
    const dead = page.filter(({ namespace, key }) => !marking.isAlive({ kind: table.kind, namespace, key }));
    note(busy, performance.now() - start);
    await removeAll(table, dead, options);
    last = page.at(-1);
    if (last === undefined || page.length < pageRows) return;
    await pace.rest();
  }
}

async function removeAll(table: Collectable, dead: readonly Resource[], options: SweepOptions): Promise<void> {
  let left: readonly ResourceNode[] = dead.map(({ namespace, key }) => ({ kind: table.kind, namespace, key }));
  while (left.length > 0) {
    options.signal.throwIfAborted();
    const batch = left.slice(0, batchRows);
    const { settled, looked, next } = await removeBatch(table, batch, options);
    if (settled) left = [...left.slice(looked), ...next];
    else await options.drain();
    await options.pace.rest();
  }
}

interface Outcome {
  /** False when too much was touched meanwhile to be followed here: nothing was removed then. */
  readonly settled: boolean;
  /** So many rows were looked at before the slice was over. */
  readonly looked: number;
  readonly next: readonly ResourceNode[];
}

async function removeBatch(
  table: Collectable,
  batch: readonly ResourceNode[],
  { metadata, marking, pace, busy, removed, pending }: SweepOptions,
): Promise<Outcome> {
  const applied = Promise.withResolvers<Outcome>();
  const sliceMs = pace.sliceMs();
  const commit = metadata.update(
    (tx) => {
      const start = performance.now();
      const settled = marking.settle(tx.db, settleSteps);
      const done: Done[] = [];
      // Rows of one kind cost ten times as much as those of another: the time decides, not their number.
      for (const node of settled ? batch : []) {
        done.push(removeOne(tx, table, node, marking));
        if (performance.now() - start >= removalSlices * sliceMs) break;
      }
      const count = done.filter((one) => one.removed).length;
      if (count > 0) tx.afterCommit(() => removed.set(table.kind, (removed.get(table.kind) ?? 0) + count));
      note(busy, performance.now() - start);
      applied.resolve({ settled, looked: done.length, next: done.flatMap((one) => one.next) });
    },
    { background: true },
  );
  pending.add(commit);
  // The disk is not waited for; a transaction that fails before it applied anything ends the sweep.
  return Promise.race([applied.promise, commit.then(() => applied.promise)]);
}

interface Done {
  readonly removed: boolean;
  readonly next: readonly ResourceNode[];
}

const nothingDone: Done = { removed: false, next: [] };

function removeOne(tx: Transaction, table: Collectable, node: ResourceNode, marking: Marking): Done {
  if (marking.isAlive(node)) return nothingDone;
  const resource = table.find(tx.db, node.namespace, node.key);
  if (resource === undefined || table.remove === undefined) return nothingDone;
  const { removed, next } = table.remove(tx, resource);
  return { removed, next: next.map((key) => ({ ...node, key })) };
}
