import { create } from "@bufbuild/protobuf";
import { TaskDeleteSchema, TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import type { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Logger } from "../../lib/log.ts";
import type { TimeLimits } from "../../plugin/index.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { ProcessShims, Shim, ShimEnd } from "../shims/index.ts";
import type { Bundle, Bundles } from "./bundles.ts";
import type { ShimTask } from "./shim-task.ts";
import { type TaskTable, taskKey } from "./task-table.ts";
import type { OnLostTask } from "./tasks.ts";

export interface OwnShimsOptions {
  readonly shims: Pick<ProcessShims, "ofBundle">;
  readonly bundles: Bundles;
  readonly table: TaskTable;
  readonly locks: KeyedMutex;
  readonly exchange: Pick<Exchange, "publish">;
  readonly lost: OnLostTask;
  readonly newTask: (parts: { namespace: string; id: string; bundle: string; shim: Shim }) => ShimTask;
  readonly timeouts: Pick<TimeLimits, "shimCleanupMs">;
  readonly log: Logger;
}

/** Tasks whose shims are processes of their own: taken over at the start, buried when their shim dies. */
export class OwnShims {
  readonly #options: OwnShimsOptions;
  /** Bundles of the last life that are not the shared host's. */
  readonly #taken = new Set<string>();
  readonly #known = Promise.withResolvers<void>();

  constructor(options: OwnShimsOptions) {
    this.#options = options;
  }

  /** Settles when `has` knows every bundle, which is before all of them are taken over. Never rejects. */
  get known(): Promise<void> {
    return this.#known.promise;
  }

  /** Whether the bundle was found to be one of these at the start. */
  has({ namespace, id }: { readonly namespace: string; readonly id: string }): boolean {
    return this.#taken.has(taskKey(namespace, id));
  }

  /**
   * Takes over the tasks of the daemon's last life. One whose shim is gone is cleaned up by the shim's program and its end
   * told; a shim without a task is ended. Never rejects; each shim has bounded time.
   * Source: containerd core/runtime/v2/shim_load.go.
   */
  async load(): Promise<void> {
    const { bundles } = this.#options;
    const found = await bundles.scan().catch(() => []); // whoever needs the folder next says why
    const owned = await Promise.all(found.map((bundle) => this.#guarded(bundle, () => this.#find(bundle))));
    this.#known.resolve();
    const tasks = owned.filter((task) => task !== undefined);
    await Promise.all(tasks.map((task) => this.#guarded(task, () => this.#takeOver(task))));
  }

  /** Buries the task when its shim dies by itself. */
  watch(task: ShimTask): void {
    void task.shim.own?.ended.then((end) =>
      this.#bury(task, end).catch((error: unknown) => this.#options.log.error("bury a task", { id: task.id, error })),
    );
  }

  /** Nothing of one task keeps the others from being taken over. */
  async #guarded<T>(
    { namespace, id }: { namespace: string; id: string },
    work: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#options.log.error("take over a task from its shim", { namespace, id, error });
      return undefined;
    }
  }

  async #find({ namespace, id, path }: Bundle): Promise<ShimTask | undefined> {
    const { shims, newTask, table } = this.#options;
    const shim = await shims.ofBundle({ namespace, id, bundle: path });
    if (shim === undefined) return undefined;
    this.#taken.add(taskKey(namespace, id));
    const task = newTask({ namespace, id, bundle: path, shim });
    table.add(task);
    this.watch(task);
    return task;
  }

  async #takeOver(task: ShimTask): Promise<void> {
    const { bundles, log, table } = this.#options;
    const { namespace, id, shim } = task;
    // One that fails to connect is dead, and buried by the watch.
    await shim.connection();
    if (await isThere(task)) return;
    log.info("cleaning leaked shim process", { namespace, id });
    table.remove(task);
    await task.abandon(this.#options.timeouts.shimCleanupMs).catch((error: unknown) => {
      if (!isFault(error, "notFound")) log.warn("clean up a leaked shim", { namespace, id, error });
    });
    await shim.own?.release();
    await bundles.remove({ namespace, id, path: task.bundle });
  }

  async #bury(task: ShimTask, end: ShimEnd): Promise<void> {
    const { bundles, exchange, locks, lost, table } = this.#options;
    const { namespace, id } = task;
    // One that was deleted meanwhile, or never made, needs no word.
    if (table.get(namespace, id) !== task) return;
    lost({ namespace, id, pid: end.pid, exitStatus: end.exitStatus });
    publishEnd(exchange, namespace, id, end);
    using _lock = await locks.lock(taskKey(namespace, id));
    if (table.get(namespace, id) !== task) return;
    table.remove(task);
    await bundles.remove({ namespace, id, path: task.bundle });
  }
}

/** False when the shim knows no task of that name. A shim that fails to tell keeps its task. */
async function isThere(task: ShimTask): Promise<boolean> {
  try {
    await task.state("");
    return true;
  } catch (error) {
    return !isFault(error, "notFound");
  }
}

function publishEnd(exchange: Pick<Exchange, "publish">, namespace: string, id: string, end: ShimEnd): void {
  const ctx = createCtx({ namespace });
  const { pid, exitStatus, exitedAt } = end;
  const facts = { containerId: id, pid, exitStatus, exitedAt };
  exchange.publish(ctx, "/tasks/exit", anyOf(TaskExitSchema, create(TaskExitSchema, { ...facts, id })));
  exchange.publish(ctx, "/tasks/delete", anyOf(TaskDeleteSchema, create(TaskDeleteSchema, facts)));
}
