import { create } from "@bufbuild/protobuf";
import { type Container, ContainerSchema } from "../../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../../../gen/containerd/v1/types/task_pb.ts";
import { createCtx } from "../../../lib/ctx.ts";
import { createLogger } from "../../../lib/log.ts";
import { restartLabels } from "../../../lib/restart-labels.ts";
import { anyOfJson, ociTypeUrls } from "../../../wire/any.ts";
import { type ContainerStore, containersSchema, createContainerStore } from "../../containers/index.ts";
import { createExchange, type Exchange } from "../../events/index.ts";
import { openTestMetadata, type TestMetadata } from "../../metadata/testing.ts";
import { namespacesSchema } from "../../namespaces/index.ts";
import type { Snapshotters } from "../../snapshots/index.ts";
import { type RestartMonitorOptions, startRestartMonitor } from "../index.ts";
import { FakeTasks, TestTimers } from "./tasks.ts";

/** Containers, tasks and the monitor over them, which can end, die and begin again while the others stay. */
export class TestLife implements AsyncDisposable {
  timers: TestTimers = new TestTimers();
  readonly tasks: FakeTasks = new FakeTasks();
  readonly log: string[] = [];
  readonly exchange: Exchange;
  readonly containers: ContainerStore;
  /** The step at which the daemon dies. */
  dieAt = "";
  mounts: () => Promise<never[]> = () => Promise.resolve([]);
  readonly #metadata: TestMetadata;
  #monitor: AsyncDisposable | undefined;
  #life = { dead: true };

  constructor() {
    this.#metadata = openTestMetadata([namespacesSchema, containersSchema]);
    const log = createLogger({ level: "debug", format: "text", write: (line) => this.log.push(line) });
    this.exchange = createExchange({ log });
    this.tasks.exchange = this.exchange;
    this.containers = createContainerStore({ metadata: this.#metadata.metadata, exchange: this.exchange });
  }

  /** Begins a life of the monitor. */
  async up(more: Partial<RestartMonitorOptions> = {}): Promise<void> {
    const life = { dead: false };
    this.#life = life;
    const { containers, tasks } = this;
    const alive = <T>(work: () => Promise<T>): Promise<T> => (life.dead ? new Promise<T>(() => {}) : work());
    this.#monitor = await startRestartMonitor({
      containers: {
        supervised: (after, limit) => containers.supervised(after, limit),
        findSupervised: (name) => containers.findSupervised(name),
        relabel: (ctx, id, change) => alive(() => containers.relabel(ctx, id, change)),
      },
      tasks: {
        recovered: tasks.recovered,
        onLost: (listener) => tasks.onLost((lost) => !life.dead && listener(lost)),
        create: (ctx, creation) => alive(() => tasks.create(ctx, creation)),
        delete: (ctx, id) => alive(() => tasks.delete(ctx, id)),
        abandon: (ctx, id) => alive(() => tasks.abandon(ctx, id)),
        get: (ctx, id) => alive(() => tasks.get(ctx, id)),
      },
      snapshotters: { get: () => ({ mounts: () => this.mounts() }) } as unknown as Snapshotters,
      // A dead one hears nothing.
      exchange: { observe: (listener) => this.exchange.observe((event) => !life.dead && listener(event)) },
      intervalMs: 10_000,
      log: createLogger({ level: "debug", format: "text", write: (line) => this.log.push(line) }),
      timers: this.timers,
      random: () => 0,
      failpoint: (step) => {
        if (step === this.dieAt) life.dead = true;
      },
      ...more,
    });
  }

  async down(): Promise<void> {
    await this.#monitor?.[Symbol.asyncDispose]();
    this.#monitor = undefined;
  }

  /** As `kill -9`: whatever it had begun never ends. */
  forget(): void {
    this.#life.dead = true;
    this.#monitor = undefined;
    this.timers = new TestTimers();
    this.dieAt = "";
  }

  /** A container that is to be kept running: its name is `namespace/id`. */
  async container(
    name: string,
    labels: Readonly<Record<string, string>> = {},
    more: Partial<Container> = {},
  ): Promise<void> {
    const [namespace = "", id = ""] = name.split("/");
    const all = { [restartLabels.status]: "running", ...labels };
    const spec = anyOfJson(ociTypeUrls.spec, { process: { terminal: false } });
    const fields = { id, labels: all, spec, runtime: { name: "io.containerd.runc.v2" } };
    await this.containers.create(createCtx({ namespace }), { ...create(ContainerSchema, fields), ...more });
  }

  async label(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    const [namespace = "", id = ""] = name.split("/");
    const paths = Object.keys(labels).map((key) => `labels.${key}`);
    const container = create(ContainerSchema, { id, labels });
    await this.containers.update(createCtx({ namespace }), container, paths);
  }

  labels(name: string): Readonly<Record<string, string>> {
    const [namespace = "", id = ""] = name.split("/");
    return this.containers.get(createCtx({ namespace }), id).labels;
  }

  count(name: string): string | undefined {
    return this.labels(name)[restartLabels.count];
  }

  record(name: string): { readonly state?: string; readonly waitMs?: number; readonly reason?: string } | undefined {
    const text = this.labels(name)[restartLabels.record];
    return text === undefined ? undefined : JSON.parse(text);
  }

  async delete(name: string): Promise<void> {
    const [namespace = "", id = ""] = name.split("/");
    await this.containers.delete(createCtx({ namespace }), id);
  }

  lines(text: string): number {
    return this.log.filter((line) => line.includes(text)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    await this.#metadata[Symbol.asyncDispose]();
  }
}

/** Waits for a condition, looking at it often. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited for ${what}`);
    await Bun.sleep(1);
  }
}

/** Lets go by what would have happened by now: so many turns of the loop, with the disk's work in them. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Bun.sleep(1);
}

/** The container that most tests are about. */
export const box = "n/a";

/** A life in which a container runs, as its labels want it. */
export async function running(more: Readonly<Record<string, string>> = {}): Promise<TestLife> {
  const life = new TestLife();
  await life.container(box, more);
  life.tasks.run(box);
  await life.up();
  await until(() => life.tasks.countOf(`state ${box}`) > 0, "the first look");
  return life;
}

export async function planned(life: TestLife): Promise<void> {
  await until(() => life.record(box)?.state === "waiting", "the decision");
}

export async function waiting(life: TestLife, waitMs: number): Promise<void> {
  await until(() => life.record(box)?.state === "waiting" && life.timers.waits.includes(waitMs), `a wait of ${waitMs}`);
}

/** The whole way from an end to the next beginning. */
export async function restarted(life: TestLife, waitMs: number): Promise<void> {
  await waiting(life, waitMs);
  await life.timers.advance(waitMs);
  await until(() => life.tasks.statusOf(box) === Status.RUNNING && life.record(box) === undefined, "the restart");
}
