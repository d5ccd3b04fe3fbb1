import type { ContainerStore } from "../../core/containers/index.ts";
import type { Exchange } from "../../core/events/index.ts";
import type { Task, TaskFigures } from "../../core/tasks/index.ts";
import { TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import {
  type Metrics as MetricsV1,
  MetricsSchema as MetricsV1Schema,
} from "../../gen/io/containerd/cgroups/v1/metrics_pb.ts";
import {
  type Metrics as MetricsV2,
  MetricsSchema as MetricsV2Schema,
} from "../../gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { TimeLimits } from "../../plugin/index.ts";
import { anyIs, anyTo } from "../../wire/any.ts";
import { figuresV1 } from "./cgroup-v1.ts";
import { figuresV2 } from "./cgroup-v2.ts";
import type { Family, Sample } from "./exposition.ts";
import type { Figure } from "./figure.ts";

/** For how long shims are asked: by the default limit of one, the last answers then come within eight seconds, and a scraper waits for ten by its own default. */
const allLimitMs = 6000;
const askedAtOnce = 16;

export interface ContainerFiguresOptions {
  readonly tasks: Pick<TaskFigures, "all" | "find">;
  readonly containers: Pick<ContainerStore, "get">;
  readonly exchange: Pick<Exchange, "observe">;
  readonly log: Logger;
  /** How long one container's figures may take. */
  readonly timeouts: Pick<TimeLimits, "shimStatsMs">;
  readonly allLimitMs?: number;
}

interface Measured<Stats> {
  readonly labels: Sample["labels"];
  readonly stats: Stats;
}

/**
 * What cgroups tell of the containers that run. Those that ended are left out from their exit on, and those whose shim does
 * not answer in time from this page.
 * Shape: so many shims are asked at once; who asks while others wait for the same gets the same.
 */
export class ContainerFigures implements Disposable {
  readonly #options: ContainerFiguresOptions;
  readonly #labels = new WeakMap<Task, Sample["labels"]>();
  readonly #ended = new WeakSet<Task>();
  readonly #watch: Disposable;
  #collecting: Promise<readonly Family[]> | undefined;
  /** Containers that could not be measured, ever. */
  failures = 0;

  constructor(options: ContainerFiguresOptions) {
    this.#options = options;
    this.#watch = options.exchange.observe(({ namespace, topic, event }) => {
      if (event === undefined || topic !== "/tasks/exit") return;
      const exit = anyTo(event, TaskExitSchema);
      const task = exit.id === exit.containerId ? options.tasks.find(namespace, exit.containerId) : undefined;
      if (task !== undefined) this.#ended.add(task);
    });
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  families(): Promise<readonly Family[]> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = undefined;
    });
    return this.#collecting;
  }

  async #collect(): Promise<readonly Family[]> {
    const waiting = this.#options.tasks.all().filter((task) => !this.#ended.has(task));
    const [v1, v2]: [Measured<MetricsV1>[], Measured<MetricsV2>[]] = [[], []];
    const deadline = performance.now() + (this.#options.allLimitMs ?? allLimitMs);
    const ask = async (): Promise<void> => {
      for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
        if (performance.now() > deadline) this.failures += 1;
        else await this.#measure(task, v1, v2);
      }
    };
    await Promise.all(Array.from({ length: askedAtOnce }, ask));
    return [...familiesOf(figuresV1, v1), ...familiesOf(figuresV2, v2)];
  }

  async #measure(task: Task, v1: Measured<MetricsV1>[], v2: Measured<MetricsV2>[]): Promise<void> {
    try {
      const any = await task.stats(this.#options.timeouts.shimStatsMs);
      if (any === undefined || this.#ended.has(task)) return;
      const labels = this.#labelsOf(task);
      if (anyIs(any, MetricsV2Schema)) add(v2, labels, anyTo(any, MetricsV2Schema));
      else add(v1, labels, anyTo(any, MetricsV1Schema));
    } catch (error) {
      // One that ended meanwhile has no cgroup any more.
      if (isFault(error, "notFound")) return;
      this.failures += 1;
      this.#options.log.warn("a container is missing in the metrics", {
        id: task.id,
        namespace: task.namespace,
        error: messageOf(error),
      });
    }
  }

  #labelsOf(task: Task): Sample["labels"] {
    const known = this.#labels.get(task);
    if (known !== undefined) return known;
    const { namespace, id } = task;
    const runtime = this.#options.containers.get(createCtx({ namespace }), id).runtime?.name ?? "";
    const labels: Sample["labels"] = [
      ["container_id", id],
      ["namespace", namespace],
      ["runtime", runtime],
    ];
    this.#labels.set(task, labels);
    return labels;
  }
}

/** A cgroup without a process is what an ended container left until it is deleted. */
function add<Stats extends MetricsV1 | MetricsV2>(to: Measured<Stats>[], labels: Sample["labels"], stats: Stats): void {
  if (stats.pids?.current !== 0n) to.push({ labels, stats });
}

function familiesOf<Stats>(figures: readonly Figure<Stats>[], measured: readonly Measured<Stats>[]): Family[] {
  if (measured.length === 0) return [];
  return figures.map((figure) => ({
    name: figure.name,
    help: figure.help,
    type: figure.type,
    *samples() {
      for (const { labels, stats } of measured) {
        for (const [more, value] of figure.values(stats)) yield { labels: [...labels, ...more], value };
      }
    },
  }));
}
