import { create } from "@bufbuild/protobuf";
import { TaskDeleteSchema, TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import type { ListResponse } from "../../gen/lighter/shim/v1/host_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { createCtx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import type { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Logger } from "../../lib/log.ts";
import type { TimeLimits } from "../../plugin/index.ts";
import { isErrno } from "../../sys/index.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { Bundle, Bundles } from "./bundles.ts";
import type { HostConnection } from "./host/host.ts";
import type { OwnShims } from "./own-shims.ts";
import { pause } from "./pause.ts";
import type { Scratch } from "./scratch.ts";
import type { ShimTask } from "./shim-task.ts";
import { type TaskTable, taskKey } from "./task-table.ts";

/** What is said of an exit of which nothing is known. Source: containerd core/runtime/v2/shim.go, cleanupAfterDeadShim. */
const unknownExitStatus = 255;

export interface ReconcilerOptions {
  readonly bundles: Bundles;
  readonly scratch: Scratch;
  readonly table: TaskTable;
  readonly locks: KeyedMutex;
  readonly exchange: Pick<Exchange, "publish">;
  /** Tells bundles of the last life that are other shims': they are none of the host's business. */
  readonly ownShims: Pick<OwnShims, "has" | "known">;
  readonly newTask: (parts: { namespace: string; id: string; bundle: string; broken?: string }) => ShimTask;
  readonly timeouts: Pick<TimeLimits, "shimCleanupMs">;
  readonly log: Logger;
  /** Fires when the daemon ends. */
  readonly closing: AbortSignal;
}

/** Between two looks at what the host is doing. */
const settlePauseMs = 20;
const settlePauseMaxMs = 500;

/** How long a host may take to say what it has. */
const listLimitMs = 10_000;

/** What the host has under one name. */
interface Held {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly broken?: string;
}

/** Brings the daemon's table, the bundles on disk and what a host holds to one opinion: at the start, and with each new host. */
export class Reconciler {
  readonly #options: ReconcilerOptions;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /**
   * Takes over what the host holds, buries what it has lost, and clears away what never became a task.
   * Effects: events /tasks/exit and /tasks/delete for a task that is lost, since nobody else will tell of it.
   */
  async run(connection: HostConnection): Promise<void> {
    const { bundles: disk, ownShims, table } = this.#options;
    await ownShims.known;
    const bundles = (await disk.scan()).filter((bundle) => !ownShims.has(bundle));
    const before = table.all().filter((task) => task.shim.own === undefined);
    const { held, unsettled } = await this.#listOf(connection);
    for (const one of unsettled.values()) void this.#settle(connection, one);
    for (const one of held.values()) await this.#take(one);
    const isKnown = (key: string): boolean => held.has(key) || unsettled.has(key);
    for (const key of table.orphans) if (!isKnown(key)) table.orphans.delete(key);
    for (const task of before) {
      if (!isKnown(taskKey(task.namespace, task.id))) await this.#checkLost(task);
    }
    for (const bundle of bundles) {
      if (!isKnown(taskKey(bundle.namespace, bundle.id))) await this.#clear(bundle);
    }
  }

  /** Removes folders of tasks that are no more. Called once, when the tasks of the last life are known. */
  async sweep(): Promise<void> {
    const { scratch, table } = this.#options;
    await scratch.sweep((namespace, id) => table.get(namespace, id) !== undefined);
  }

  async #listOf(connection: HostConnection): Promise<HostList> {
    const { bundles, log } = this.#options;
    return namesOf(await connection.host.list({}, { timeoutMs: listLimitMs }), bundles, log);
  }

  /**
   * Waits for what a call of an earlier daemon still does at the host, a creation or a deletion. Who wants something of that
   * name waits, too: the lock is taken before this returns. Never rejects.
   */
  async #settle(connection: HostConnection, one: Held): Promise<void> {
    const { closing, locks, log } = this.#options;
    const key = taskKey(one.namespace, one.id);
    // A call of this daemon's own sees to its end.
    if (locks.holds(key)) return;
    using _lock = await locks.lock(key);
    try {
      for (let pauseMs = settlePauseMs; ; pauseMs = Math.min(2 * pauseMs, settlePauseMaxMs)) {
        await pause(pauseMs, closing);
        if (closing.aborted) return;
        const { held, unsettled } = await this.#listOf(connection);
        if (unsettled.has(key)) continue;
        return await this.#settled(one, held.get(key));
      }
    } catch (error) {
      // Another host finishes it or takes it back, and is asked then.
      if (!connection.lost) log.warn("wait for a call of an earlier daemon", { key, error });
    }
  }

  async #settled({ namespace, id, bundle }: Held, found: Held | undefined): Promise<void> {
    const { bundles, newTask, scratch, table } = this.#options;
    const known = table.get(namespace, id);
    if (found !== undefined) {
      if (known === undefined) table.add(newTask(found));
      return;
    }
    if (known !== undefined) table.remove(known);
    await bundles.remove({ namespace, id, path: bundle });
    await scratch.remove(namespace, id);
  }

  async #take(held: Held): Promise<void> {
    const { locks, table, newTask, log } = this.#options;
    const known = table.get(held.namespace, held.id);
    if (known !== undefined && known.broken === held.broken) return;
    // A creation or removal of this name may be under way: what counts is how it ends.
    const key = taskKey(held.namespace, held.id);
    const contended = locks.holds(key);
    using _lock = await locks.lock(key);
    const task = newTask(held);
    if (contended && !(await exists(task))) return;
    if (table.orphans.has(key)) return await this.#takeDown(task, key);
    if (held.broken !== undefined) {
      log.error("the state of a task can't be read", { ...held });
    }
    table.add(task);
  }

  /** What a creation left that had failed for its caller: its bundle is gone, and nobody knows of it. */
  async #takeDown(task: ShimTask, key: string): Promise<void> {
    const { log, table } = this.#options;
    const { namespace, id } = task;
    try {
      await task.abandon(this.#options.timeouts.shimCleanupMs);
    } catch (error) {
      if (!isFault(error, "notFound")) return log.warn("clean up after a failed task", { namespace, id, error });
    }
    table.orphans.delete(key);
    log.info("took down what a failed task had left", { namespace, id });
  }

  /** A task that the host does not list: lost, unless it was made or removed meanwhile. */
  async #checkLost(task: ShimTask): Promise<void> {
    const { locks, table } = this.#options;
    using _lock = await locks.lock(taskKey(task.namespace, task.id));
    if (table.get(task.namespace, task.id) !== task || (await exists(task))) return;
    table.remove(task);
    await this.#bury({ namespace: task.namespace, id: task.id, path: task.bundle }, true);
  }

  /** A bundle without a task: half made, or left by a task whose state is gone. */
  async #clear(bundle: Bundle): Promise<void> {
    const { bundles, locks, table, log } = this.#options;
    using _lock = await locks.lock(taskKey(bundle.namespace, bundle.id));
    if (table.get(bundle.namespace, bundle.id) !== undefined) return;
    try {
      await this.#bury(bundle, await bundles.inhabited(bundle));
    } catch (error) {
      // Gone meanwhile, most likely: a creation failed, or a removal went through.
      if (!isErrno(error, "ENOENT")) log.error("clear away a bundle", { bundle: bundle.path, error });
    }
  }

  async #bury(bundle: Bundle, wasTask: boolean): Promise<void> {
    const { bundles, exchange, log } = this.#options;
    const { namespace, id } = bundle;
    log.warn(wasTask ? "a task was lost" : "a bundle was left half made", { namespace, id });
    if (wasTask) publishLoss(exchange, namespace, id);
    await bundles.remove(bundle).catch((error: unknown) => {
      log.error("failed to delete bundle", { namespace, id, error });
    });
  }
}

function publishLoss(exchange: Pick<Exchange, "publish">, namespace: string, id: string): void {
  const ctx = createCtx({ namespace });
  const facts = { containerId: id, exitStatus: unknownExitStatus, exitedAt: systemClock().toTimestamp() };
  exchange.publish(ctx, "/tasks/exit", anyOf(TaskExitSchema, create(TaskExitSchema, { ...facts, id })));
  exchange.publish(ctx, "/tasks/delete", anyOf(TaskDeleteSchema, create(TaskDeleteSchema, facts)));
}

interface HostList {
  readonly held: ReadonlyMap<string, Held>;
  readonly unsettled: ReadonlyMap<string, Held>;
}

/** What a host has, by key. Where its bundle lies is ours to say, whatever a file on the host's disk told it. */
function namesOf({ tasks, broken, unsettled }: ListResponse, bundles: Bundles, log: Logger): HostList {
  const byKey = (all: readonly Omit<Held, "bundle">[]): [string, Held][] =>
    all.flatMap(({ namespace, id, broken: why }) => {
      if (!isName(namespace) || !isName(id)) {
        log.error("the shim host names a task that can't be", { namespace, id });
        return [];
      }
      const held = { namespace, id, bundle: bundles.path(namespace, id) };
      return [[taskKey(namespace, id), why === undefined ? held : { ...held, broken: why }]];
    });
  const lost = broken.map(({ namespace, id, reason }) => ({ namespace, id, broken: reason }));
  return { held: new Map(byKey([...tasks, ...lost])), unsettled: new Map(byKey(unsettled)) };
}

function isName(text: string): boolean {
  try {
    return checkIdentifier(text) === text;
  } catch {
    // It says what is wrong with it, which helps nobody here.
    return false;
  }
}

async function exists(task: ShimTask): Promise<boolean> {
  try {
    await task.state("");
    return true;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw error;
  }
}
