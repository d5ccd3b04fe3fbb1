import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { TaskDeleteSchema, TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import type { ListResponse } from "../../gen/lighter/shim/v1/host_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import type { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Logger } from "../../lib/log.ts";
import { isErrno } from "../../sys/index.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { Bundle, Bundles } from "./bundles.ts";
import type { HostConnection } from "./host.ts";
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
  /** Whether a bundle of the last life is another shim's: then it is none of the host's business. */
  readonly isOwn: (bundle: Bundle) => boolean;
  readonly newTask: (parts: { namespace: string; id: string; bundle: string; broken?: string }) => ShimTask;
  readonly log: Logger;
}

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
    const { bundles: disk, isOwn, table } = this.#options;
    const bundles = (await disk.scan()).filter((bundle) => !isOwn(bundle));
    const before = table.all().filter((task) => task.shim.own === undefined);
    const held = heldBy(await connection.host.list({}), this.#options.bundles);
    for (const one of held.values()) await this.#take(one);
    for (const task of before) {
      if (!held.has(taskKey(task.namespace, task.id))) await this.#checkLost(task);
    }
    for (const bundle of bundles) {
      if (!held.has(taskKey(bundle.namespace, bundle.id))) await this.#clear(bundle);
    }
  }

  /** Removes folders of tasks that are no more. Called once, when the tasks of the last life are known. */
  async sweep(): Promise<void> {
    const { scratch, table } = this.#options;
    await scratch.sweep((namespace, id) => table.get(namespace, id) !== undefined);
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
    if (held.broken !== undefined) {
      log.error("the state of a task can't be read", { ...held });
    }
    table.add(task);
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
      await this.#bury(bundle, await bundles.touched(bundle));
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
  const facts = { containerId: id, exitStatus: unknownExitStatus, exitedAt: timestampNow() };
  exchange.publish(ctx, "/tasks/exit", anyOf(TaskExitSchema, create(TaskExitSchema, { ...facts, id })));
  exchange.publish(ctx, "/tasks/delete", anyOf(TaskDeleteSchema, create(TaskDeleteSchema, facts)));
}

function heldBy(list: ListResponse, bundles: Bundles): Map<string, Held> {
  const held = new Map<string, Held>();
  for (const { namespace, id, bundle } of list.tasks) held.set(taskKey(namespace, id), { namespace, id, bundle });
  for (const { namespace, id, bundle, reason } of list.broken) {
    // Where the bundle was may have been lost with the rest of the state.
    const path = bundle === "" ? bundles.path(namespace, id) : bundle;
    held.set(taskKey(namespace, id), { namespace, id, bundle: path, broken: reason });
  }
  return held;
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
