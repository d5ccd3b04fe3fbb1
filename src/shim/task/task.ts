import { join } from "node:path";
import { FaultError, quote } from "../../lib/faults.ts";
import type { SharedWait } from "../../lib/shared-wait.ts";
import type { OomWatch } from "../cgroup/oom.ts";
import type { TaskProcess } from "../process/process.ts";
import type { ProcessExit } from "../process/process-handle.ts";
import type { OciRuntime } from "../runtime/oci-runtime.ts";
import {
  type CgroupRecord,
  type DumpRecord,
  type RuntimeRecord,
  recordSchema,
  type TaskRecord,
} from "../state/records.ts";
import { OperationLock } from "./operation-lock.ts";

export interface TaskOptions {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly runtimeRecord: RuntimeRecord;
  readonly runtime: OciRuntime;
  readonly hasRootfsMounts: boolean;
  readonly hasPrivatePids: boolean;
  readonly hasPoststartHooks: boolean;
  readonly needsRuntimeDelete?: boolean | undefined;
  readonly checkpoint: string;
  readonly parentCheckpoint: string;
  readonly init: TaskProcess;
}

/** One container's running incarnation: its init, its execs, and the order of what is done to it. */
export class Task {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly runtimeRecord: RuntimeRecord;
  readonly runtime: OciRuntime;
  readonly hasRootfsMounts: boolean;
  readonly hasPrivatePids: boolean;
  readonly hasPoststartHooks: boolean;
  /** Its end is the runtime's own business: it has hooks to run then, or more to remove than one cgroup and a folder. */
  needsRuntimeDelete: boolean;
  readonly checkpoint: string;
  readonly parentCheckpoint: string;
  readonly init: TaskProcess;
  readonly execs: Map<string, TaskProcess> = new Map();
  readonly lock: OperationLock = new OperationLock();
  phase: TaskRecord["phase"] = "creating";
  /** Its creation, while that is under way. */
  making: SharedWait<void> | undefined;
  cgroup: CgroupRecord | undefined;
  /** The upper folder of its root where that may go behind its back; known to the host alone that mounted it. */
  upper: string | undefined;
  /** Init has ended, but its exit waits for the execs' exits to be published. */
  initExit: ProcessExit | undefined;
  pausing = false;
  /** The checkpoint that is being made, or with which the task ended. */
  dump: DumpRecord | undefined;
  /** Whether an earlier host began it, whose caller may ask again. */
  isDumpAdopted = false;
  oom: OomWatch | undefined;
  /** On performance.now's clock: when this host let init go, or took the task up. */
  begunAtMs: number = performance.now();

  constructor(options: TaskOptions) {
    this.namespace = options.namespace;
    this.id = options.id;
    this.bundle = options.bundle;
    this.runtimeRecord = options.runtimeRecord;
    this.runtime = options.runtime;
    this.hasRootfsMounts = options.hasRootfsMounts;
    this.hasPrivatePids = options.hasPrivatePids;
    this.hasPoststartHooks = options.hasPoststartHooks;
    this.needsRuntimeDelete = options.needsRuntimeDelete ?? true;
    this.checkpoint = options.checkpoint;
    this.parentCheckpoint = options.parentCheckpoint;
    this.init = options.init;
  }

  /** A process by its exec id, init by the empty one. Errors: notFound. */
  process(execId: string): TaskProcess {
    if (execId === "") return this.init;
    const found = this.execs.get(execId);
    if (found === undefined) throw new FaultError("notFound", `process does not exist ${execId}: not found`);
    return found;
  }

  processes(): TaskProcess[] {
    return [this.init, ...this.execs.values()];
  }

  hasRunningExecs(): boolean {
    for (const exec of this.execs.values()) if (exec.status === "running" || exec.starting) return true;
    return false;
  }

  toRecord(): TaskRecord {
    return {
      schema: recordSchema,
      namespace: this.namespace,
      id: this.id,
      bundle: this.bundle,
      phase: this.phase,
      runtime: this.runtimeRecord,
      hasRootfsMounts: this.hasRootfsMounts,
      hasPrivatePids: this.hasPrivatePids,
      hasPoststartHooks: this.hasPoststartHooks,
      needsRuntimeDelete: this.needsRuntimeDelete,
      cgroup: this.cgroup,
      checkpoint: this.checkpoint,
      parentCheckpoint: this.parentCheckpoint,
      init: this.init.toRecord(),
      execs: Array.from(this.execs.values(), (exec) => exec.toRecord()),
      ...(this.dump === undefined ? {} : { dump: this.dump }),
    };
  }
}

/** Where a runtime writes init's number. */
export function initPidFile(task: Pick<Task, "bundle">): string {
  return join(task.bundle, "init.pid");
}

/** The tasks of all namespaces. */
export class TaskTable {
  readonly #tasks = new Map<string, Task>();

  get size(): number {
    return this.#tasks.size;
  }

  find(namespace: string, id: string): Task | undefined {
    return this.#tasks.get(key(namespace, id));
  }

  /** Errors: notFound, as containerd's shim says it. A task whose creation is under way is not there yet. */
  get(namespace: string, id: string): Task {
    const task = this.find(namespace, id);
    if (task === undefined || task.phase === "creating") {
      throw new FaultError("notFound", "container not created: not found");
    }
    return task;
  }

  /**
   * As `get`, once a creation that is under way is over: a client may ask for a task that another call is making.
   * Errors: notFound; as the signal's. Source: containerd's shim, whose Create locks all others out.
   */
  async made(namespace: string, id: string, signal: AbortSignal): Promise<Task> {
    await this.find(namespace, id)?.making?.wait(signal);
    return this.get(namespace, id);
  }

  /** Errors: alreadyExists. */
  add(task: Task): void {
    if (this.#tasks.has(key(task.namespace, task.id))) {
      throw new FaultError("alreadyExists", `task ${quote(task.id)}: already exists`);
    }
    this.#tasks.set(key(task.namespace, task.id), task);
  }

  remove(task: Task): void {
    if (this.find(task.namespace, task.id) === task) this.#tasks.delete(key(task.namespace, task.id));
  }

  all(): readonly Task[] {
    return [...this.#tasks.values()];
  }
}

const key = (namespace: string, id: string): string => `${namespace}/${id}`;
