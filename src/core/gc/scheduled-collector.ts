import { type Clock, systemClock } from "../../lib/clock.ts";
import { abortFault, type Ctx } from "../../lib/ctx.ts";
import { FaultError, fault, messageOf, notFound, quote } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Metadata } from "../metadata/index.ts";
import { collectOnce } from "./collection.ts";
import { explainSteps } from "./explain.ts";
import type { Collectable, CollectionStats, CollectionWatcher, GarbageCollector, ResourceCollector } from "./gc.ts";
import { type Busy, createPace, runPaced } from "./pace.ts";
import { ReferenceGraph } from "./reference-graph.ts";
import { CollectionScheduler, type ScheduleConfig, type Timers } from "./scheduler.ts";
import { measureAll, UsageCount } from "./usage.ts";

export interface GarbageCollectorOptions {
  readonly metadata: Metadata;
  /** What refers comes before what is referred to. */
  readonly tables: readonly Collectable[];
  readonly config: ScheduleConfig;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  readonly timers?: Timers | undefined;
}

const systemTimers: Timers = {
  now: () => performance.now(),
  after: (ms, action) => {
    const timer = setTimeout(action, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Collects garbage by itself from now on, as the schedule says, until disposed of. */
export function createGarbageCollector(options: GarbageCollectorOptions): ScheduledCollector {
  return new ScheduledCollector(options);
}

export class ScheduledCollector implements GarbageCollector, AsyncDisposable {
  readonly #options: GarbageCollectorOptions;
  readonly #clock: Clock;
  readonly #collectors = new Set<ResourceCollector>();
  readonly #watchers = new Set<CollectionWatcher>();
  readonly #stopped = new AbortController();
  readonly #scheduler: CollectionScheduler<CollectionStats>;
  readonly #watch: Disposable;

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
    const { metadata, config, log, clock = systemClock, timers = systemTimers } = options;
    this.#clock = clock;
    this.#scheduler = new CollectionScheduler({
      config,
      timers,
      collect: () => this.#collect(),
      failed: (error) => {
        if (!this.#stopped.signal.aborted) log.error("garbage collection failed", { error: messageOf(error) });
      },
    });
    this.#watch = metadata.watch({ committed: (released) => this.#scheduler.note(released) });
  }

  async collect(ctx: Ctx): Promise<CollectionStats> {
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(abortFault(ctx.signal));
    ctx.signal.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([this.#scheduler.collect(), aborted.promise]);
    } catch (error) {
      if (ctx.signal.aborted || error instanceof FaultError) throw error;
      throw new FaultError("unknown", "gc failed", { cause: error });
    } finally {
      ctx.signal.removeEventListener("abort", abort);
    }
  }

  async explain(ctx: Ctx, node: Parameters<GarbageCollector["explain"]>[1]): ReturnType<GarbageCollector["explain"]> {
    const graph = this.#graph();
    const { metadata } = this.#options;
    if (!metadata.read((db) => graph.exists(db, node))) {
      throw notFound(`${node.kind} ${quote(node.key)} in namespace ${quote(node.namespace)}`);
    }
    const search = explainSteps(graph, metadata, node);
    await this.#run(search.steps, ctx);
    return search.path();
  }

  exists(node: Parameters<GarbageCollector["exists"]>[0]): boolean {
    const graph = this.#graph();
    return this.#options.metadata.read((db) => graph.exists(db, node));
  }

  async usage(ctx: Ctx): ReturnType<GarbageCollector["usage"]> {
    const { metadata, tables } = this.#options;
    const signal = AbortSignal.any([ctx.signal, this.#stopped.signal]);
    const measured = await measureAll(tables, signal, ctx.namespace);
    const count = new UsageCount({ graph: this.#graph(), metadata, tables, namespace: ctx.namespace, measured });
    await this.#run(count.steps(), ctx);
    return count.result();
  }

  register(collector: ResourceCollector): Disposable {
    if ([...this.#collectors].some((one) => one.kind === collector.kind)) {
      throw fault("alreadyExists", `collector of ${quote(collector.kind)}`);
    }
    this.#collectors.add(collector);
    return { [Symbol.dispose]: () => void this.#collectors.delete(collector) };
  }

  watch(watcher: CollectionWatcher): Disposable {
    const own: CollectionWatcher = (elapsedMs, isWhole) => watcher(elapsedMs, isWhole);
    this.#watchers.add(own);
    return { [Symbol.dispose]: () => void this.#watchers.delete(own) };
  }

  /** Goes on by another schedule. */
  reconfigure(config: ScheduleConfig): void {
    this.#scheduler.reconfigure(config);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#stopped.abort(fault("unavailable", "garbage collection is stopped"));
    await this.#scheduler[Symbol.asyncDispose]();
  }

  async #collect(): Promise<{ busyMs: number; result: CollectionStats }> {
    const began = performance.now();
    let isWhole = false;
    try {
      const collected = await this.#collectNow();
      isWhole = true;
      return collected;
    } finally {
      for (const watcher of this.#watchers) watcher(performance.now() - began, isWhole);
    }
  }

  async #collectNow(): Promise<{ busyMs: number; result: CollectionStats }> {
    const { metadata, tables, log } = this.#options;
    const result = await collectOnce({
      metadata,
      tables,
      collectors: this.#collectors,
      pace: createPace(() => this.#scheduler.isAwaited),
      nowMs: this.#clock().ms,
      signal: this.#stopped.signal,
    });
    const { busyMs, removed, ...times } = result;
    log.debug("garbage collected", { busyMs, ...times, removed: Object.fromEntries(removed) });
    return { busyMs, result };
  }

  #graph(): ReferenceGraph {
    const { metadata, tables } = this.#options;
    return new ReferenceGraph({ metadata, tables, collectors: this.#collectors, nowMs: this.#clock().ms });
  }

  #run(steps: Generator<void, void>, ctx: Ctx): Promise<void> {
    const busy: Busy = { busyMs: 0, longestMs: 0 };
    return runPaced(
      steps,
      createPace(() => true),
      busy,
      AbortSignal.any([ctx.signal, this.#stopped.signal]),
    );
  }
}
