import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema, timestampNow } from "@bufbuild/protobuf/wkt";
import { type Container, ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { messageOf, notFound, quote } from "../../lib/faults.ts";
import { createLogger, type Logger } from "../../lib/log.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import type { ContainerStore } from "../containers/index.ts";
import { type ContentStore, contentSchema, openContentStore } from "../content/index.ts";
import { createExchange, type Exchange } from "../events/index.ts";
import { createLeaseManager, type LeaseManager, leasesSchema } from "../leases/index.ts";
import { type Metadata, openMetadata, type SchemaPart } from "../metadata/index.ts";
import { createMountManager, type MountManager, mountsSchema } from "../mounts/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import type { HostLauncher } from "./host/host.ts";
import { createTaskManager } from "./task-manager.ts";
import type { ProcessIo, TaskCreation, TaskManager } from "./tasks.ts";

export const noIo: ProcessIo = { stdin: "", stdout: "", stderr: "", terminal: false };

interface UpOptions {
  /** Whether a subscriber is there from the beginning. */
  readonly watch?: boolean;
  readonly passedOn?: TaskManager["passedOn"];
  /** How many of a daemon before are to come back. */
  readonly subscribers?: number;
}

/** The part of a daemon that a task manager needs, on folders of its own; it can be stopped and started like a daemon. */
export class TestDaemon implements AsyncDisposable {
  readonly folder: string;
  readonly ctx: Ctx = createCtx({ namespace: "default" });
  readonly containers: Map<string, Container> = new Map();
  readonly log: string[] = [];
  readonly events: Envelope[] = [];
  leases: LeaseManager | undefined;
  readonly #launcher: HostLauncher;
  readonly #schemas: readonly SchemaPart[];
  #life: AsyncDisposableStack | undefined;
  #tasks: TaskManager | undefined;
  #mounts: MountManager | undefined;
  #content: ContentStore | undefined;
  #exchange: Exchange | undefined;
  #metadata: Metadata | undefined;

  private constructor(folder: string, launcher: HostLauncher, schemas: readonly SchemaPart[]) {
    this.folder = folder;
    this.#launcher = launcher;
    this.#schemas = schemas;
  }

  /** The launcher may depend on where the daemon has its state. */
  static async start(
    launcher: HostLauncher | ((state: string) => HostLauncher),
    schemas: readonly SchemaPart[] = [],
  ): Promise<TestDaemon> {
    const folder = await mkdtemp("/tmp/lighter-tasks-");
    const given = typeof launcher === "function" ? launcher(join(folder, "state")) : launcher;
    const daemon = new TestDaemon(folder, given, schemas);
    await daemon.up();
    return daemon;
  }

  get tasks(): TaskManager {
    return inLife(this.#tasks);
  }

  get content(): ContentStore {
    return inLife(this.#content);
  }

  get mounts(): MountManager {
    return inLife(this.#mounts);
  }

  get exchange(): Exchange {
    return inLife(this.#exchange);
  }

  get metadata(): Metadata {
    return inLife(this.#metadata);
  }

  get logger(): Logger {
    return createLogger({ level: "debug", format: "text", write: (line) => this.log.push(line) });
  }

  get state(): string {
    return join(this.folder, "state");
  }

  bundle(id: string): string {
    return join(this.state, "io.containerd.runtime.v2.task", "default", id);
  }

  /** Starts another life of the daemon over the same folders. */
  async up({ watch = true, passedOn, subscribers = 0 }: UpOptions = {}): Promise<void> {
    const log = this.logger;
    const life = new AsyncDisposableStack();
    const schemas = [namespacesSchema, leasesSchema, contentSchema, mountsSchema, ...this.#schemas];
    const metadata = life.use(openMetadata({ path: join(this.folder, "meta.db"), schemas }));
    const exchange = createExchange({ log, returning: { subscribers, forMs: 15_000 } });
    const leases = createLeaseManager({ metadata });
    this.leases = leases;
    const content = life.use(
      await openContentStore({ root: join(this.folder, "root"), metadata, exchange, leases, log }),
    );
    const root = join(this.folder, "root");
    const mounts = life.use(createMountManager({ metadata, targets: join(this.state, "t"), roots: [root], log }));
    if (watch) life.use(this.#watch(exchange));
    this.#tasks = life.use(
      createTaskManager({
        root,
        state: this.state,
        containers: this.containerStore(),
        content,
        exchange,
        mounts,
        passedOn,
        launcher: this.#launcher,
        shims: {
          grpcAddress: join(this.folder, "none.sock"),
          ttrpcAddress: join(this.folder, "none.sock.ttrpc"),
          publishBinary: "/bin/false",
          socketDir: join(this.folder, "s"),
          env: process.env,
          runtimes: new Set(),
        },
        log,
        path: "/usr/bin",
      }),
    );
    this.#mounts = mounts;
    this.#content = content;
    this.#exchange = exchange;
    this.#metadata = metadata;
    this.#life = life;
  }

  /** As the last step before another takes the daemon's place: what that one is told of events. */
  async handOver(): Promise<UpOptions["passedOn"]> {
    const { tasks } = this;
    this.exchange.retire();
    await this.down();
    return tasks.passedOn;
  }

  async down(): Promise<void> {
    await this.#life?.disposeAsync();
    this.#life = undefined;
  }

  container(id: string, runtime = "io.containerd.runc.v2", spec: Any = anyOfJson(ociTypeUrls.spec, { id })): void {
    const createdAt = timestampNow();
    this.containers.set(id, create(ContainerSchema, { id, runtime: { name: runtime }, spec, createdAt }));
  }

  /** A container and its task, created and started. Answers the process id. */
  async running(id: string): Promise<number> {
    this.container(id);
    await this.tasks.create(this.ctx, creation(id));
    return (await this.tasks.get(this.ctx, id)).start("");
  }

  /** Subscribes as a client does; the events come into `events`. */
  watch(): Disposable {
    return this.#watch(this.exchange);
  }

  /** Waits for an event; a deadline ends a test that waits for what never comes. */
  async event(topic: string, count = 1): Promise<Envelope[]> {
    await until(() => this.#named(topic).length >= count, `${count} of ${topic}`);
    return this.#named(topic);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    await rm(this.folder, { recursive: true, force: true });
  }

  #named(topic: string): Envelope[] {
    return this.events.filter((event) => event.topic === topic);
  }

  #watch(exchange: Exchange): Disposable {
    const ending = new AbortController();
    const watch = async (): Promise<void> => {
      const events = exchange.subscribe(createCtx({ signal: ending.signal }), [], "client");
      for await (const event of events) this.events.push(event);
    };
    watch().catch((error: unknown) => {
      if (!exchange.retired) throw error;
    });
    return { [Symbol.dispose]: () => ending.abort() };
  }

  containerStore(): ContainerStore {
    const refuse = (): never => {
      throw new Error("not part of this test");
    };
    return {
      get: (ctx, id) => {
        const found = this.containers.get(id);
        if (found === undefined) throw notFound(`container ${quote(id)} in namespace ${quote(ctx.namespace ?? "")}`);
        return found;
      },
      list: () => [...this.containers.values()],
      create: refuse,
      update: refuse,
      delete: refuse,
      relabel: refuse,
      supervised: refuse,
      findSupervised: refuse,
      checked: refuse,
      findChecked: refuse,
    };
  }
}

export function creation(id: string, more: Partial<TaskCreation> = {}): TaskCreation {
  return { id, io: noIo, rootfs: [], options: undefined, runtimePath: "", checkpoint: undefined, ...more };
}

export function anyBytes(typeUrl: string, value: Uint8Array = new Uint8Array()): Any {
  return create(AnySchema, { typeUrl, value });
}

/** The message of what a call fails with. */
export async function failure(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return messageOf(error);
  }
  throw new Error("the call was expected to fail");
}

/** Waits for a condition, looking at it often. */
export async function until(condition: () => boolean, what: string, limitMs = 5_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`);
    await Bun.sleep(2);
  }
}

function inLife<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the daemon is down");
  return value;
}
