import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { type Ctx, createCtx, unlessAborted } from "../../lib/ctx.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { createTimers, pause, settledWithin, type Timers } from "../../lib/timers.ts";
import type { ContainerName, ContainerStore } from "../containers/index.ts";
import type { Exchange } from "../events/index.ts";
import type { Snapshotters } from "../snapshots/index.ts";
import type { TaskManager } from "../tasks/index.ts";
import { Keeper } from "./keeper.ts";
import type { RestartFailpoint } from "./steps.ts";
import { readTaskEvent, type Told } from "./task-events.ts";
import { lifeOf, newWatched, noteEvent, type Watched } from "./watched.ts";

export interface RestartMonitorOptions {
  readonly containers: Pick<ContainerStore, "findSupervised" | "relabel" | "supervised">;
  readonly tasks: Pick<TaskManager, "abandon" | "create" | "delete" | "get" | "onLost" | "recovered">;
  readonly snapshotters: Pick<Snapshotters, "get">;
  readonly exchange: Pick<Exchange, "observe">;
  /** Between two looks at everything, for what no event told. */
  readonly intervalMs: number;
  readonly log: Logger;
  readonly timers?: Timers | undefined;
  /** Spreads the waits; from 0 to below 1. */
  readonly random?: (() => number) | undefined;
  /** Where a test may have the daemon die; nowhere when left out. */
  readonly failpoint?: RestartFailpoint | undefined;
}

/** Names that are read at once: a fraction of a millisecond. */
const pageSize = 128;
/** Containers that are looked at in one turn of the loop, and at the same time. */
const looksATurn = 8;
const looksMax = 32;
/** Of those for which nothing is to do, so many are looked at at each interval, in turn: events tell of them anyway. */
const sampleSize = 32;
/** Events of a container that is not known yet. */
const eventsMax = 16;
/** How long the daemon's end waits for what is under way; a shim that is silent keeps it no longer. */
const closeLimitMs = 8_000;

/**
 * Keeps the containers running whose labels ask for it, from now on until disposed of.
 * Effects: reads the names of those that are there already before this settles; they are looked at as soon as the tasks of the
 * daemon's last life are known. Disposing waits for what is under way, and nothing is begun after.
 */
export async function startRestartMonitor(options: RestartMonitorOptions): Promise<AsyncDisposable> {
  const monitor = new RestartMonitor(options);
  await monitor.begin();
  return monitor;
}

class RestartMonitor implements AsyncDisposable {
  readonly #options: RestartMonitorOptions;
  readonly #timers: Timers;
  readonly #closing = new AbortController();
  readonly #keeper: Keeper;
  readonly #observing = new DisposableStack();
  readonly #watched = new Map<string, Watched>();
  /** Names that were there when the daemon began, until they are looked at. */
  readonly #atStart = new Set<string>();
  /** To be looked at, with what was told of those that are not known yet. */
  readonly #dirty = new Map<string, { readonly name: ContainerName; readonly told: Told[] }>();
  readonly #looking = new Map<string, Promise<void>>();
  #sampling: Iterator<Watched> | undefined;
  #ready = false;
  #scheduled = false;
  #background: Promise<void> = Promise.resolve();

  constructor(options: RestartMonitorOptions) {
    this.#options = options;
    this.#timers = options.timers ?? createTimers();
    this.#keeper = new Keeper({
      ...options,
      timers: this.#timers,
      random: options.random ?? Math.random,
      closing: this.#closing.signal,
      failpoint: options.failpoint ?? (() => {}),
      look: (watched) => this.#mark(watched),
    });
    this.#observing.use(options.exchange.observe((envelope) => this.#hear(envelope)));
    // The events that follow tell of its end.
    this.#observing.use(options.tasks.onLost((lost) => this.#note({ ...lost, what: "lost" }, lost)));
  }

  async begin(): Promise<void> {
    await this.#eachName((name) => this.#atStart.add(keyOf(name)));
    this.#background = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#observing[Symbol.dispose]();
    for (const watched of this.#watched.values()) watched.timer?.[Symbol.dispose]();
    this.#dirty.clear();
    const ended = Promise.allSettled([this.#background, ...this.#looking.values(), this.#keeper.idle()]);
    await settledWithin(this.#timers, ended, closeLimitMs);
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    await unlessAborted(this.#options.tasks.recovered, signal).catch(() => undefined);
    this.#ready = true;
    while (!signal.aborted) {
      await this.#scan().catch((error: unknown) =>
        this.#options.log.error("look for containers to restart", { error }),
      );
      await pause(this.#timers, this.#options.intervalMs, signal);
    }
  }

  /** Looks at what no event told of. */
  async #scan(): Promise<void> {
    await this.#eachName((name) => {
      const watched = this.#watched.get(keyOf(name));
      if (watched === undefined || !(watched.settled || watched.busy || watched.timer !== undefined)) this.#mark(name);
    });
    for (let count = Math.min(sampleSize, this.#watched.size); count > 0; count--) {
      this.#sampling ??= this.#watched.values();
      const next = this.#sampling.next();
      if (next.done === true) this.#sampling = undefined;
      else this.#mark(next.value);
    }
  }

  async #eachName(action: (name: ContainerName) => void): Promise<void> {
    let after: ContainerName | undefined;
    while (!this.#closing.signal.aborted) {
      const page = this.#options.containers.supervised(after, pageSize);
      for (const name of page) action(name);
      after = page.at(-1);
      if (page.length < pageSize) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Takes note of an event; what follows from it is done later. */
  #hear(envelope: Envelope): void {
    const told = readTaskEvent(envelope);
    if (told !== undefined) this.#note(told, { namespace: envelope.namespace, id: told.id });
  }

  #note(told: Told, name: ContainerName): void {
    const watched = this.#watched.get(keyOf(name));
    if (watched !== undefined) noteEvent(watched, told, this.#timers.now(), this.#keeper.graceMs);
    this.#mark(name, watched === undefined ? told : undefined);
  }

  #mark({ namespace, id }: ContainerName, told?: Told): void {
    if (this.#closing.signal.aborted) return;
    const name = { namespace, id };
    const entry = this.#dirty.get(keyOf(name)) ?? { name, told: [] };
    this.#dirty.set(keyOf(name), entry);
    if (told !== undefined && entry.told.push(told) > eventsMax) entry.told.shift();
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#ready || this.#scheduled || this.#dirty.size === 0 || this.#looking.size >= looksMax) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    let begun = 0;
    for (const [key, { name, told }] of this.#dirty) {
      if (begun >= looksATurn || this.#looking.size >= looksMax || this.#closing.signal.aborted) break;
      // Its look is under way, and is followed by another one.
      if (this.#looking.has(key)) continue;
      this.#dirty.delete(key);
      begun += 1;
      this.#begin(key, name, told);
    }
    if (begun > 0) this.#schedule();
  }

  #begin(key: string, name: ContainerName, told: readonly Told[]): void {
    const look = this.#look(key, name, told)
      .catch((error: unknown) => {
        if (this.#closing.signal.aborted) return;
        this.#options.log.error("look at a container to restart", { ...name, error: messageOf(error) });
      })
      .finally(() => {
        this.#looking.delete(key);
        this.#schedule();
      });
    this.#looking.set(key, look);
  }

  async #look(key: string, name: ContainerName, told: readonly Told[]): Promise<void> {
    const container = this.#options.containers.findSupervised(name);
    if (container === undefined) return this.#forget(key);
    const watched = this.#watch(key, name, container);
    for (const one of told) noteEvent(watched, one, this.#timers.now(), this.#keeper.graceMs);
    if (!watched.busy) await this.#keeper.tend(watched, this.#ctxOf(name));
  }

  #watch(key: string, name: ContainerName, container: Container): Watched {
    const known = this.#watched.get(key);
    if (known?.life === lifeOf(container)) return known;
    this.#forget(key, false);
    const watched = newWatched(name, container, this.#atStart.delete(key));
    this.#watched.set(key, watched);
    return watched;
  }

  #forget(key: string, atStart = true): void {
    this.#watched.get(key)?.timer?.[Symbol.dispose]();
    this.#watched.delete(key);
    if (atStart) this.#atStart.delete(key);
  }

  #ctxOf({ namespace }: ContainerName): Ctx {
    return createCtx({ namespace, signal: this.#closing.signal, log: this.#options.log });
  }
}

function keyOf({ namespace, id }: ContainerName): string {
  return `${namespace}/${id}`;
}
