import { type MarkJob, spawnWorker, takeLines } from "../../workers/index.ts";
import type { FrozenFile } from "../metadata/index.ts";
import type { Collectable, ResourceCollector } from "./gc.ts";
import type { MarkLine } from "./mark-report.ts";
import type { ReferenceGraph } from "./reference-graph.ts";
import { type SweepOptions, sweepDead } from "./sweep.ts";

export interface WorkerMarkingOptions {
  readonly frozen: FrozenFile;
  readonly tables: readonly Collectable[];
  readonly collectors: readonly ResourceCollector[];
  readonly graph: ReferenceGraph;
  readonly nowMs: number;
  readonly sweep: SweepOptions;
}

export interface WorkerMarking {
  /** How many objects were alive, and how long the process took to find them; undefined when it never did. */
  marked: { readonly alive: number; readonly elapsedMs: number } | undefined;
}

/**
 * Marks in a process of its own, over the database file as it was when it was frozen, and removes what that process finds dead
 * and nobody has touched since; the sweep's marking knows only what was touched.
 * Errors: what the process, the sweep or the signal says; until `marked` is there nothing was removed.
 * Effects: thaws the file as soon as it is read. The process waits while its last lines are worked off.
 */
export async function collectByWorker(options: WorkerMarkingOptions, progress: WorkerMarking): Promise<void> {
  const { frozen, tables, collectors, nowMs, sweep } = options;
  const job: MarkJob = {
    path: frozen.path,
    nowMs,
    kinds: tables.map((table) => table.kind),
    referenceLabels: collectors.map(({ kind, referenceLabel = "" }) => [referenceLabel, kind]),
  };
  const living = new Living(options);
  const take = async (line: MarkLine): Promise<void> => {
    if ("dead" in line) {
      const table = tables.find((one) => one.kind === line.dead.kind);
      if (table !== undefined) await sweepDead(table, line.dead.namespace, line.dead.keys, sweep);
    } else if ("marked" in line) {
      frozen[Symbol.dispose]();
      living.settle();
      await sweep.drain();
      progress.marked = line.marked;
    } else living.note(line);
  };
  const signal = AbortSignal.any([sweep.signal, frozen.lost]);
  await spawnWorker("mark", job, {
    signal,
    background: true,
    output: takeLines((line) => take(JSON.parse(line) as MarkLine)),
  });
}

type LivingLine = Exclude<MarkLine, { readonly dead: unknown } | { readonly marked: unknown }>;

/** What the daemon must know of the living to tell what comes to life again. */
class Living {
  readonly #options: WorkerMarkingOptions;
  readonly #lines: LivingLine[] = [];

  constructor(options: WorkerMarkingOptions) {
    this.#options = options;
  }

  note(line: LivingLine): void {
    this.#lines.push(line);
  }

  /** Marks what objects without rows hold, which only the daemon knows. */
  settle(): void {
    const { graph, collectors, sweep } = this.#options;
    const { marking } = sweep;
    for (const collector of collectors) for (const node of collector.active()) marking.reach(node);
    for (const line of this.#lines) {
      if ("behind" in line) graph.adopt(line.behind);
      else if ("reached" in line) for (const node of line.reached) marking.reach(node);
      else if ("leases" in line) {
        for (const [namespace, lease] of line.leases) {
          for (const collector of collectors)
            for (const node of collector.leased(namespace, lease)) marking.reach(node);
        }
      }
    }
  }
}
