import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { TaskDeleteSchema, TaskExitSchema, TaskStartSchema } from "../../../gen/containerd/events/task_pb.ts";
import { Status } from "../../../gen/containerd/v1/types/task_pb.ts";
import { type Ctx, createCtx } from "../../../lib/ctx.ts";
import { alreadyExists, fault, notFound } from "../../../lib/faults.ts";
import type { Timers } from "../../../lib/timers.ts";
import { anyOf } from "../../../wire/any.ts";
import type { Exchange } from "../../events/index.ts";
import type { ExitInfo, OnLostTask, Task, TaskCreation, TaskManager } from "../../tasks/index.ts";

/** A clock that stands until it is told to go on. */
export class TestTimers implements Timers {
  #now = 1_000_000;
  readonly #pending = new Set<{ readonly at: number; readonly action: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, action: () => void): Disposable {
    const timer = { at: this.#now + ms, action };
    this.#pending.add(timer);
    return { [Symbol.dispose]: () => void this.#pending.delete(timer) };
  }

  /** How long each timer has still to wait. */
  get waits(): readonly number[] {
    return [...this.#pending].map(({ at }) => at - this.#now);
  }

  /** Goes on, and lets what follows from each timer happen before the next. */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    for (;;) {
      const [next] = [...this.#pending].filter(({ at }) => at <= target).sort((one, other) => one.at - other.at);
      if (next === undefined) break;
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.action();
      await Bun.sleep(1);
    }
    this.#now = target;
  }
}

interface FakeTask {
  readonly pid: number;
  readonly creation: TaskCreation;
  status: Status;
  exitStatus: number;
  exitedAt: Timestamp | undefined;
}

/** Tasks without processes: states and events as those of real ones. They outlive a daemon. */
export class FakeTasks implements Pick<TaskManager, "abandon" | "create" | "delete" | "get" | "onLost" | "recovered"> {
  readonly recovered: Promise<void> = Promise.resolve();
  readonly tasks: Map<string, FakeTask> = new Map();
  /** What was called, in order: `create n/a`. */
  readonly calls: string[] = [];
  /** Fails a call, or holds it back. */
  before: (call: string) => Promise<void> | void = () => {};
  exchange: Exchange | undefined;
  /** Tasks that ran when they were abandoned: each is an end, too. */
  abandonedRunning = 0;
  readonly #losses = new Set<OnLostTask>();
  #pids = 100;
  #ends = 0;

  /** The task of a container, running. */
  run(name: string, more: Partial<TaskCreation> = {}): void {
    this.#pids += 1;
    const [, id = ""] = name.split("/");
    const io = { stdin: "", stdout: "", stderr: "", terminal: false };
    const creation = { id, io, rootfs: [], options: undefined, runtimePath: "", checkpoint: undefined, ...more };
    const task = { pid: this.#pids, creation, status: Status.CREATED, exitStatus: 0, exitedAt: undefined };
    this.tasks.set(name, task);
    this.#started(name);
  }

  exit(name: string, exitStatus: number): void {
    const task = this.#task(name);
    task.status = Status.STOPPED;
    task.exitStatus = exitStatus;
    this.#ends += 1;
    task.exitedAt = create(TimestampSchema, { seconds: BigInt(this.#ends) });
    const facts = { containerId: idOf(name), id: idOf(name), pid: task.pid, exitStatus };
    this.exchange?.publish(ctxOf(name), "/tasks/exit", anyOf(TaskExitSchema, create(TaskExitSchema, facts)));
  }

  /** As a client deletes it. */
  remove(name: string): void {
    const { pid } = this.#task(name);
    this.tasks.delete(name);
    const facts = { containerId: idOf(name), pid };
    this.exchange?.publish(ctxOf(name), "/tasks/delete", anyOf(TaskDeleteSchema, create(TaskDeleteSchema, facts)));
  }

  /** Its shim dies and takes it along. */
  lose(name: string, exitStatus: number): void {
    const { pid } = this.#task(name);
    const [namespace = "", id = ""] = name.split("/");
    for (const listener of this.#losses) listener({ namespace, id, pid, exitStatus });
    this.exit(name, exitStatus);
    this.remove(name);
  }

  onLost(listener: OnLostTask): Disposable {
    this.#losses.add(listener);
    return { [Symbol.dispose]: () => void this.#losses.delete(listener) };
  }

  statusOf(name: string): Status | undefined {
    return this.tasks.get(name)?.status;
  }

  countOf(call: string): number {
    return this.calls.filter((one) => one === call).length;
  }

  async create(ctx: Ctx, creation: TaskCreation): Promise<number> {
    const name = `${ctx.namespace}/${creation.id}`;
    await this.#call(`create ${name}`);
    if (this.tasks.has(name)) throw alreadyExists(`task ${creation.id}`);
    this.#pids += 1;
    const task = { pid: this.#pids, creation, status: Status.CREATED, exitStatus: 0, exitedAt: undefined };
    this.tasks.set(name, task);
    return this.#pids;
  }

  async get(ctx: Ctx, id: string): Promise<Task> {
    const name = `${ctx.namespace}/${id}`;
    const task = this.#task(name);
    const known = {
      state: async () => {
        await this.#call(`state ${name}`);
        return { ...task, ...task.creation.io };
      },
      start: async () => {
        await this.#call(`start ${name}`);
        if (this.tasks.get(name) !== task) throw notFound(`task ${name}`);
        this.#started(name);
        return task.pid;
      },
      kill: async () => {
        await this.#call(`kill ${name}`);
        if (this.tasks.get(name) !== task) throw notFound(`task ${name}`);
        this.exit(name, 137);
      },
      resume: () => this.#call(`resume ${name}`),
    };
    return known as unknown as Task;
  }

  async delete(ctx: Ctx, id: string): Promise<ExitInfo> {
    const name = `${ctx.namespace}/${id}`;
    await this.#call(`delete ${name}`);
    const { pid, exitStatus, exitedAt, status } = this.#task(name);
    // A call of a daemon that died may reach what a client has started since.
    if (status === Status.RUNNING) throw fault("failedPrecondition", "cannot delete a running process");
    this.remove(name);
    return { pid, exitStatus, exitedAt };
  }

  async abandon(ctx: Ctx, id: string): Promise<void> {
    const name = `${ctx.namespace}/${id}`;
    await this.#call(`abandon ${name}`);
    if (this.#task(name).status === Status.RUNNING) this.abandonedRunning += 1;
    this.remove(name);
  }

  #started(name: string): void {
    const task = this.#task(name);
    task.status = Status.RUNNING;
    const facts = { containerId: idOf(name), pid: task.pid };
    this.exchange?.publish(ctxOf(name), "/tasks/start", anyOf(TaskStartSchema, create(TaskStartSchema, facts)));
  }

  async #call(call: string): Promise<void> {
    this.calls.push(call);
    await this.before(call);
  }

  #task(name: string): FakeTask {
    const task = this.tasks.get(name);
    if (task === undefined) throw notFound(`task ${name}`);
    return task;
  }
}

const idOf = (name: string): string => name.slice(name.indexOf("/") + 1);
const ctxOf = (name: string): Ctx => createCtx({ namespace: name.slice(0, name.indexOf("/")) });
