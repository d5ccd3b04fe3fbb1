import type { Any } from "@bufbuild/protobuf/wkt";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Metric } from "../../gen/containerd/types/metrics_pb.ts";
import { abortFault, type Ctx } from "../../lib/ctx.ts";
import { alreadyExists, FaultError, isFault, unavailable, wrapFault } from "../../lib/faults.ts";
import type { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Logger } from "../../lib/log.ts";
import { logFor, traced } from "../../lib/trace.ts";
import type { PassedOnEvents, TimeLimits } from "../../plugin/index.ts";
import type { ContainerStore } from "../containers/index.ts";
import type { ContentStore } from "../content/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { HostFiles, RuntimeResolver, Shim, ShimEndpoint } from "../shims/index.ts";
import type { Deprecation } from "../warnings/index.ts";
import type { Bundles } from "./bundles.ts";
import { restoreCheckpoint, storeCheckpoint } from "./checkpoint-content.ts";
import type { TaskFigures } from "./figures.ts";
import { collectMetrics } from "./metrics.ts";
import type { Recovery } from "./recovery.ts";
import type { RuntimeInfoSource } from "./runtime-info.ts";
import { checkpointPathOf, chooseOptions, criuImagePathOf, restorePathOf, taskApiOf } from "./runtime-options.ts";
import type { SandboxEndpointLookup } from "./runtimes.ts";
import type { Scratch } from "./scratch.ts";
import type { ShimTask } from "./shim-task.ts";
import type { DaemonFailpoint } from "./steps.ts";
import type { TaskMounts } from "./task-mounts.ts";
import { type TaskTable, taskKey } from "./task-table.ts";
import type { ExitInfo, OnLostTask, Task, TaskCreation, TaskManager } from "./tasks.ts";

/** Creations and deletions of one task that wait for each other. */
const waitingMax = 64;
const noEndpoint: ShimEndpoint = { address: "", version: 0 };

export interface ManagedTasksOptions {
  readonly containers: ContainerStore;
  readonly content: ContentStore;
  readonly bundles: Bundles;
  readonly hostFiles: Pick<HostFiles, "link">;
  readonly scratch: Scratch;
  readonly mounts: TaskMounts;
  readonly resolver: RuntimeResolver;
  readonly sandboxEndpoints: Set<SandboxEndpointLookup>;
  readonly runtimeInfo: RuntimeInfoSource;
  readonly table: TaskTable;
  readonly locks: KeyedMutex;
  readonly newTask: (parts: { namespace: string; id: string; bundle: string; shim: Shim }) => ShimTask;
  /** Sees to it that a task whose own shim dies is buried. */
  readonly watchShim: (task: ShimTask) => void;
  /** Who hears of tasks that are lost. */
  readonly losses: Set<OnLostTask>;
  readonly recovery: Pick<Recovery, "settled" | "firstTry" | "trouble">;
  readonly figures: TaskFigures;
  readonly failpoint: DaemonFailpoint;
  readonly deprecated: (deprecation: Deprecation) => void;
  readonly timeouts: Pick<TimeLimits, "shimCleanupMs">;
  readonly log: Logger;
  readonly passedOn: () => PassedOnEvents | undefined;
  /** Ends waits, lets go of the shims. */
  readonly close: () => Promise<void>;
}

/** Tasks by what the daemon knows of them; what they do, their shims know. */
export class ManagedTasks implements TaskManager {
  readonly recovered: Promise<void>;
  readonly shims: RuntimeResolver;
  readonly figures: TaskFigures;
  readonly #options: ManagedTasksOptions;

  constructor(options: ManagedTasksOptions) {
    this.#options = options;
    this.recovered = options.recovery.firstTry;
    this.shims = options.resolver;
    this.figures = options.figures;
  }

  get passedOn(): PassedOnEvents | undefined {
    return this.#options.passedOn();
  }

  addSandboxEndpoints(lookup: SandboxEndpointLookup): void {
    this.#options.sandboxEndpoints.add(lookup);
  }

  onLost(listener: OnLostTask): Disposable {
    const { losses } = this.#options;
    const own: OnLostTask = (lost) => listener(lost);
    losses.add(own);
    return { [Symbol.dispose]: () => void losses.delete(own) };
  }

  async create(ctx: Ctx, creation: TaskCreation): Promise<number> {
    const { containers, table } = this.#options;
    const namespace = requireNamespace(ctx);
    const container = containers.get(ctx, creation.id);
    await this.#untilKnown(ctx);
    using _lock = await this.#lock(ctx, namespace, creation.id);
    if (table.get(namespace, creation.id) !== undefined) throw alreadyExists(`task ${creation.id}`);
    return await this.#createLocked(ctx, namespace, container, creation);
  }

  async get(ctx: Ctx, id: string): Promise<Task> {
    return (await this.#find(ctx, id)).task.within(ctx.trace);
  }

  async list(ctx: Ctx): Promise<readonly Task[]> {
    const namespace = requireNamespace(ctx);
    await this.#untilKnown(ctx);
    return this.#options.table.inNamespace(namespace).map((task) => task.within(ctx.trace));
  }

  async delete(ctx: Ctx, id: string): Promise<ExitInfo> {
    const { namespace } = (await this.#find(ctx, id)).task;
    using _lock = await this.#lock(ctx, namespace, id);
    const task = this.#known(namespace, id);
    ctx.step = `waits for the shim to delete ${id}`;
    try {
      const exit = await traced(ctx, "shim delete", { "container.id": id }, ({ trace }) =>
        task.within(trace).deleteProcess(""),
      );
      ctx.step = `removes the bundle of ${id}`;
      await this.#forget(ctx, task);
      return exit;
    } catch (error) {
      // A shim that knows it no more has nothing left of it either.
      if (isFault(error, "notFound")) await this.#forget(ctx, task);
      throw wrapFault("failed to delete task", error);
    }
  }

  async abandon(ctx: Ctx, id: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    await this.#untilKnown(ctx);
    using _lock = await this.#lock(ctx, namespace, id);
    const task = this.#known(namespace, id);
    try {
      await task.abandon(this.#options.timeouts.shimCleanupMs);
    } catch (error) {
      if (!isFault(error, "notFound")) throw error;
    }
    await this.#forget(ctx, task);
  }

  async checkpoint(ctx: Ctx, id: string, options: Any | undefined): Promise<readonly Descriptor[]> {
    const { content, scratch, failpoint } = this.#options;
    const { container, task: found } = await this.#find(ctx, id);
    const task = found.within(ctx.trace);
    ctx.step = `waits for the shim to checkpoint ${id}`;
    const imagePath = checkpointPathOf(container.runtime?.name ?? "", options);
    if (imagePath !== "") {
      await task.checkpoint(imagePath, options);
      return [];
    }
    await using folder = await scratch.temporary();
    await task.checkpoint(folder.path, options);
    const stored = await storeCheckpoint(ctx, content, folder.path, container.spec);
    failpoint("daemon.checkpoint.stored");
    return stored;
  }

  pluginInfo(ctx: Ctx, request: Any): Promise<Any> {
    return this.#options.runtimeInfo(ctx, request);
  }

  async metrics(ctx: Ctx, filters: readonly string[]): Promise<readonly Metric[]> {
    return collectMetrics(await this.list(ctx), filters, logFor(ctx, this.#options.log));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.close();
    await this.#options.bundles.idle();
  }

  async #find(ctx: Ctx, id: string): Promise<{ container: Container; task: ShimTask }> {
    const namespace = requireNamespace(ctx);
    const container = this.#options.containers.get(ctx, id);
    await this.#untilKnown(ctx);
    return { container, task: this.#known(namespace, id) };
  }

  /** Waits for the first try of the recovery. Errors: unavailable when it failed: then nobody knows which tasks there are. */
  async #untilKnown(ctx: Ctx): Promise<void> {
    const { recovery } = this.#options;
    if (recovery.settled) return;
    ctx.step = "waits until the tasks of the daemon's last life are known";
    await recovery.firstTry;
    if (!recovery.settled) throw unavailable(`the tasks are not known yet: ${recovery.trouble}`);
  }

  /** Errors: unavailable when so many wait already, as they do for a shim that hangs while clients try again and again. */
  #lock(ctx: Ctx, namespace: string, id: string): Promise<Disposable> {
    const { locks } = this.#options;
    const key = taskKey(namespace, id);
    ctx.step = `waits for what is under way with task ${id}`;
    if (locks.waiting(key) >= waitingMax) {
      throw unavailable(`${waitingMax} calls wait for what is under way with task ${id}`);
    }
    return locks.lock(key);
  }

  #known(namespace: string, id: string): ShimTask {
    const task = this.#options.table.get(namespace, id);
    if (task === undefined) throw new FaultError("notFound", `task ${id} not found`);
    return task;
  }

  async #createLocked(ctx: Ctx, namespace: string, container: Container, creation: TaskCreation): Promise<number> {
    const { bundles, hostFiles, mounts, scratch, log, table } = this.#options;
    const { id } = creation;
    const runtime = creation.runtimePath === "" ? (container.runtime?.name ?? "") : creation.runtimePath;
    const options = chooseOptions(container.runtime?.name ?? "", creation.options, container.runtime?.options);
    const path = bundles.path(namespace, id);
    const sandboxId = container.sandbox;
    const taskApi = taskApiOf(creation.taskApi ?? noEndpoint, creation.options, this.#options.deprecated);
    const shim = await this.#shimFor({ runtime, namespace, id, bundle: path, options, sandboxId, taskApi });
    // A host that is not up yet starts while the disk is written to; a shim of the task's own starts in the bundle.
    const connecting = shim.own === undefined ? shim.connection() : undefined;
    connecting?.catch(() => undefined);
    await using undo = new AsyncDisposableStack();
    ctx.step = `makes the mounts of ${id}`;
    const { rootfs, isNew } = await mounts.make(ctx, id, runtime, creation.rootfs);
    if (isNew) undo.defer(() => mounts.takeAway(ctx, id));
    undo.defer(() => scratch.remove(namespace, id));
    ctx.step = `prepares the bundle of ${id}`;
    const checkpoint = await this.#checkpointFor(ctx, namespace, creation);
    const furnish = shim.own === undefined ? (folder: string) => hostFiles.link(folder) : undefined;
    const bundle = await bundles.create(namespace, id, container.spec, furnish);
    this.#options.failpoint("daemon.create.bundled");
    undo.defer(() =>
      bundles.remove(bundle).catch((error: unknown) => logFor(ctx, log).error("remove bundle", { id, error })),
    );
    undo.defer(() => shim.own?.release());
    ctx.step = `waits for the shim of ${id} to start`;
    await started(connecting ?? shim.connection());
    const task = this.#options.newTask({ namespace, id, bundle: path, shim });
    if (table.orphans.has(taskKey(namespace, id))) await this.#abandon(ctx, task);
    table.add(task);
    this.#options.watchShim(task);
    undo.defer(() => table.remove(task));
    undo.defer(() => this.#abandon(ctx, task));
    ctx.step = `waits for the shim to create ${id}`;
    const pid = await traced(ctx, "shim create", { "container.id": id, runtime }, ({ trace }) =>
      createAtShim(task.within(trace), { ...creation, rootfs }, checkpoint, options),
    );
    // Whoever asked for it is gone, and nobody else knows of it.
    if (ctx.aborted) throw abortFault(ctx.signal);
    undo.move();
    return pid;
  }

  #shimFor(request: Parameters<RuntimeResolver["resolve"]>[0]): Promise<Shim> {
    return started(this.#options.resolver.resolve(request));
  }

  /** The folder with CRIU's images from which the task starts; empty when it starts afresh. */
  async #checkpointFor(ctx: Ctx, namespace: string, creation: TaskCreation): Promise<string> {
    const given = restorePathOf(creation.checkpoint) ?? criuImagePathOf(creation.options);
    if (given !== "" || creation.checkpoint === undefined) return given;
    const { content, scratch } = this.#options;
    const folder = await scratch.create(namespace, creation.id);
    await restoreCheckpoint(ctx, content, creation.checkpoint, folder);
    return folder;
  }

  /** Takes down what a failed creation may have left at the shim; most often nothing. */
  async #abandon(ctx: Ctx, task: ShimTask): Promise<void> {
    const { orphans } = this.#options.table;
    const key = taskKey(task.namespace, task.id);
    try {
      await task.abandon(this.#options.timeouts.shimCleanupMs);
    } catch (error) {
      if (!isFault(error, "notFound")) {
        logFor(ctx, this.#options.log).warn("clean up after a failed task", { id: task.id, error });
        // The next host is asked again. Somebody else's shim goes with its task.
        if (task.shim.own === undefined) orphans.add(key);
        return;
      }
    }
    orphans.delete(key);
  }

  async #forget(ctx: Ctx, task: ShimTask): Promise<void> {
    const { bundles, mounts, scratch, table, log, failpoint } = this.#options;
    const { namespace, id } = task;
    table.remove(task);
    await task.shim.own?.release();
    await bundles.remove({ namespace, id, path: task.bundle }).catch((error: unknown) => {
      logFor(ctx, log).error("failed to delete bundle", { id, error });
    });
    failpoint("daemon.delete.hidden");
    await mounts.takeAway(ctx, id);
    await scratch.remove(namespace, id);
  }
}

async function started<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw wrapFault("failed to start shim", error);
  }
}

async function createAtShim(
  task: ShimTask,
  creation: TaskCreation,
  checkpoint: string,
  options: Any | undefined,
): Promise<number> {
  try {
    const pid = await task.create(creation, checkpoint, options);
    if (restorePathOf(creation.checkpoint) === undefined) return pid;
    // A restore by path starts within Create. Source: containerd core/runtime/v2/shim.go, shimTask.Create.
    return await task.start("");
  } catch (error) {
    throw wrapFault("failed to create shim task", error);
  }
}
