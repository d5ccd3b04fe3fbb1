import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, type Timestamp, timestampNow } from "@bufbuild/protobuf/wkt";
import {
  TaskCreateSchema,
  TaskDeleteSchema,
  TaskExecAddedSchema,
  TaskExecStartedSchema,
  TaskExitSchema,
  TaskPausedSchema,
  TaskResumedSchema,
  TaskStartSchema,
} from "../../gen/containerd/events/task_pb.ts";
import { type CreateTaskRequest, Task as TaskApi } from "../../gen/containerd/task/v3/shim_pb.ts";
import type { Mount } from "../../gen/containerd/types/mount_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { type Event, EventSchema, Host } from "../../gen/lighter/shim/v1/host_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { alreadyExists, FaultError, failedPrecondition, notFound } from "../../lib/faults.ts";
import { silentLogger } from "../../lib/log.ts";
import { anyOf } from "../../wire/any.ts";
import type { CallTracer } from "../../wire/observer.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import { connectTtrpc, createTtrpcServer, type TtrpcServer } from "../../wire/ttrpc/index.ts";
import type { HostLauncher } from "./host/host.ts";

interface FakeProcess {
  readonly pid: number;
  status: Status;
  exitStatus: number;
  exitedAt: Timestamp | undefined;
  readonly io: { stdin: string; stdout: string; stderr: string; terminal: boolean };
  readonly exited: PromiseWithResolvers<void>;
}

interface FakeTask {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly checkpoint: string;
  readonly options: Any | undefined;
  readonly rootfs: readonly Mount[];
  readonly processes: Map<string, FakeProcess>;
}

/** A host without containers: the services, states, events and lives of the real one, over a real socket. */
export class FakeHost implements AsyncDisposable {
  readonly launcher: HostLauncher;
  readonly tasks: Map<string, FakeTask> = new Map();
  readonly broken: { namespace: string; id: string; bundle: string; reason: string }[] = [];
  /** Kept until acknowledged, as on the real one's disk. */
  kept: Event[] = [];
  readonly signals: { id: string; execId: string; signal: number; all: boolean }[] = [];
  /** The `traceparent` of each method's last call, where it had one. */
  readonly traceparents: Map<string, string | undefined> = new Map();
  /** How often a host was started. */
  launches = 0;
  /** How often a task was said to come. */
  expectations = 0;
  /** Makes the next launches fail. */
  refuseLaunch: string | undefined;
  /** Whether its deaths leave what only the next one takes away. */
  leavesKeeper = false;
  /** Holds answers back: the call is done, and its caller doesn't hear of it. */
  beforeAnswer: (method: string) => Promise<void> = () => Promise.resolve();
  /** Fails calls before anything is done. */
  failCall: (method: string) => Error | undefined = () => undefined;
  readonly #folder: string;
  #server: TtrpcServer | undefined;
  #instance = "";
  #nextPid = 1000;
  #sequence = 0n;
  #wake = Promise.withResolvers<void>();

  private constructor(folder: string) {
    this.#folder = folder;
    this.launcher = {
      connect: () => this.#connect(),
      launch: () => this.#launch(),
      hasLeftovers: () => this.leavesKeeper,
    };
  }

  static async create(): Promise<FakeHost> {
    return new FakeHost(await mkdtemp("/tmp/lighter-fake-"));
  }

  get socket(): string {
    return join(this.#folder, "host.sock");
  }

  get up(): boolean {
    return this.#server !== undefined;
  }

  /** As `kill -9` of the host: connections break, tasks and kept events stay. */
  async die(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  /** Ends a process. */
  exit(namespace: string, id: string, execId: string, exitStatus: number): void {
    const found = this.#process(namespace, id, execId);
    found.status = Status.STOPPED;
    found.exitStatus = exitStatus;
    found.exitedAt = timestampNow();
    const facts = { containerId: id, id: execId === "" ? id : execId, pid: found.pid, exitStatus };
    this.emit(namespace, "/tasks/exit", TaskExitSchema, { ...facts, exitedAt: found.exitedAt });
    found.exited.resolve();
  }

  emit<D extends Parameters<typeof anyOf>[0]>(
    namespace: string,
    topic: string,
    schema: D,
    init: MessageInitShape<D>,
  ): void {
    this.#sequence += 1n;
    this.kept.push(
      create(EventSchema, {
        sequence: this.#sequence,
        timestamp: timestampNow(),
        namespace,
        topic,
        event: anyOf(schema, create(schema, init)),
      }),
    );
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.die();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #connect(): ReturnType<HostLauncher["connect"]> {
    if (this.#server === undefined) return undefined;
    return connectTtrpc({ path: this.socket });
  }

  async #launch(): ReturnType<HostLauncher["launch"]> {
    this.launches += 1;
    if (this.refuseLaunch !== undefined) {
      return { pid: 1, exited: Promise.resolve(this.refuseLaunch) };
    }
    this.#instance = crypto.randomUUID();
    const tracer: CallTracer = {
      begin: ({ method, metadata }) => {
        this.traceparents.set(method.localName, metadata.get("traceparent"));
        return { ended: () => {} };
      },
    };
    const services = [this.#hostService(), this.#taskService()];
    const server = createTtrpcServer({ services, log: silentLogger, tracer });
    await server.listen(this.socket);
    this.#server = server;
    return { pid: process.pid, exited: new Promise(() => {}) };
  }

  #hostService(): ServiceDefinition {
    return defineService(Host, {
      info: () => ({ protocol: 1, version: "fake", pid: process.pid, instance: this.#instance }),
      list: () => {
        const refused = this.failCall("list");
        if (refused !== undefined) throw refused;
        const tasks = [...this.tasks.values()].map(({ namespace, id, bundle }) => ({ namespace, id, bundle }));
        return { tasks, broken: this.broken };
      },
      events: (ctx, { after }) => this.#events(ctx, after),
      expect: async () => {
        this.expectations += 1;
        await this.beforeAnswer("expect");
        return {};
      },
      acknowledge: async (_ctx, { sequence }) => {
        const refused = this.failCall("acknowledge");
        if (refused !== undefined) throw refused;
        this.kept = this.kept.filter((event) => event.sequence > sequence);
        return {};
      },
    });
  }

  async *#events(ctx: Ctx, after: bigint): AsyncIterable<Event> {
    let sent = after;
    while (!ctx.aborted) {
      const wake = this.#wake.promise;
      for (const event of this.kept) {
        if (event.sequence <= sent) continue;
        sent = event.sequence;
        yield event;
      }
      await Promise.race([wake, new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))]);
    }
  }

  #taskService(): ServiceDefinition {
    const done = async <T>(method: string, action: () => T): Promise<T> => {
      const refused = this.failCall(method);
      if (refused !== undefined) throw refused;
      const answer = action();
      await this.beforeAnswer(method);
      return answer;
    };
    const of = (ctx: Ctx, id: string, execId = ""): FakeProcess => this.#process(ctx.namespace ?? "", id, execId);
    return defineService(TaskApi, {
      create: (ctx, request) => done("create", () => ({ pid: this.#create(ctx.namespace ?? "", request) })),
      start: (ctx, { id, execId }) => done("start", () => ({ pid: this.#start(ctx.namespace ?? "", id, execId) })),
      state: (ctx, { id, execId }) =>
        done("state", () => {
          const { pid, status, exitStatus, exitedAt, io } = of(ctx, id, execId);
          return { id, execId, pid, status, exitStatus, ...io, ...(exitedAt === undefined ? {} : { exitedAt }) };
        }),
      delete: (ctx, { id, execId }) => done("delete", () => this.#delete(ctx.namespace ?? "", id, execId)),
      pids: (ctx, { id }) => done("pids", () => ({ processes: [{ pid: of(ctx, id).pid }] })),
      pause: (ctx, { id }) => done("pause", () => this.#pause(ctx.namespace ?? "", id, true)),
      resume: (ctx, { id }) => done("resume", () => this.#pause(ctx.namespace ?? "", id, false)),
      checkpoint: (ctx, { id, path }) =>
        done("checkpoint", async () => {
          of(ctx, id);
          await Bun.write(join(path, "pages-1.img"), "pages of memory");
          await Bun.write(join(path, "inventory.img"), "inventory");
          return {};
        }).then((answer) => answer),
      kill: (ctx, { id, execId, signal, all }) =>
        done("kill", () => {
          of(ctx, id, execId);
          this.signals.push({ id, execId, signal, all });
          if (signal === 9) this.exit(ctx.namespace ?? "", id, execId, 137);
          return {};
        }),
      exec: (ctx, request) => done("exec", () => this.#exec(ctx.namespace ?? "", request)),
      resizePty: (ctx, { id, execId }) => done("resize", () => of(ctx, id, execId) && {}),
      closeIO: (ctx, { id, execId }) => done("closeIO", () => of(ctx, id, execId) && {}),
      update: (ctx, { id }) => done("update", () => of(ctx, id) && {}),
      stats: (ctx, { id }) =>
        done("stats", () => of(ctx, id) && { stats: { typeUrl: "stats", value: new Uint8Array(1) } }),
      wait: async (ctx, { id, execId }) => {
        const found = of(ctx, id, execId);
        if (found.status !== Status.STOPPED) await found.exited.promise;
        return { exitStatus: found.exitStatus, ...(found.exitedAt === undefined ? {} : { exitedAt: found.exitedAt }) };
      },
    });
  }

  #task(namespace: string, id: string): FakeTask {
    const task = this.tasks.get(`${namespace}/${id}`);
    if (task === undefined) throw notFound(`container "${id}"`);
    return task;
  }

  #process(namespace: string, id: string, execId: string): FakeProcess {
    const found = this.#task(namespace, id).processes.get(execId);
    if (found === undefined) throw notFound(`process "${execId}" in container "${id}"`);
    return found;
  }

  #newProcess(io: FakeProcess["io"]): FakeProcess {
    this.#nextPid += 1;
    return {
      pid: this.#nextPid,
      status: Status.CREATED,
      exitStatus: 0,
      exitedAt: undefined,
      io,
      exited: Promise.withResolvers<void>(),
    };
  }

  #create(
    namespace: string,
    request: Pick<CreateTaskRequest, "id" | "bundle" | "checkpoint" | "options" | "rootfs"> & FakeProcess["io"],
  ): number {
    const { id, bundle, checkpoint, options, rootfs, stdin, stdout, stderr, terminal } = request;
    if (this.tasks.has(`${namespace}/${id}`)) throw alreadyExists(`container "${id}"`);
    const init = this.#newProcess({ stdin, stdout, stderr, terminal });
    const task = { namespace, id, bundle, checkpoint, options, rootfs, processes: new Map([["", init]]) };
    this.tasks.set(`${namespace}/${id}`, task);
    this.emit(namespace, "/tasks/create", TaskCreateSchema, { containerId: id, bundle, pid: init.pid });
    return init.pid;
  }

  #start(namespace: string, id: string, execId: string): number {
    const found = this.#process(namespace, id, execId);
    if (found.status !== Status.CREATED) throw failedPrecondition("cannot start a process that is not created");
    found.status = Status.RUNNING;
    if (execId === "") this.emit(namespace, "/tasks/start", TaskStartSchema, { containerId: id, pid: found.pid });
    else
      this.emit(namespace, "/tasks/exec-started", TaskExecStartedSchema, { containerId: id, execId, pid: found.pid });
    return found.pid;
  }

  #exec(namespace: string, request: { id: string; execId: string } & FakeProcess["io"]): Record<never, never> {
    const { id, execId, stdin, stdout, stderr, terminal } = request;
    const task = this.#task(namespace, id);
    if (task.processes.has(execId)) throw alreadyExists(`id ${execId}`);
    task.processes.set(execId, this.#newProcess({ stdin, stdout, stderr, terminal }));
    this.emit(namespace, "/tasks/exec-added", TaskExecAddedSchema, { containerId: id, execId });
    return {};
  }

  #delete(namespace: string, id: string, execId: string): { pid: number; exitStatus: number; exitedAt?: Timestamp } {
    const found = this.#process(namespace, id, execId);
    if (found.status === Status.RUNNING) throw new FaultError("unknown", "cannot delete a running process");
    const { pid, exitStatus, exitedAt } = found;
    const when = exitedAt === undefined ? {} : { exitedAt };
    if (execId === "") {
      this.tasks.delete(`${namespace}/${id}`);
      this.emit(namespace, "/tasks/delete", TaskDeleteSchema, { containerId: id, pid, exitStatus, ...when });
    } else this.#task(namespace, id).processes.delete(execId);
    return { pid, exitStatus, ...when };
  }

  #pause(namespace: string, id: string, pause: boolean): Record<never, never> {
    this.#process(namespace, id, "").status = pause ? Status.PAUSED : Status.RUNNING;
    if (pause) this.emit(namespace, "/tasks/paused", TaskPausedSchema, { containerId: id });
    else this.emit(namespace, "/tasks/resumed", TaskResumedSchema, { containerId: id });
    return {};
  }
}

export { creation, failure, TestDaemon, until } from "./test-daemon.ts";
