import { heapSize } from "bun:jsc";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Exchange } from "../../core/events/index.ts";
import type { GarbageCollector } from "../../core/gc/index.ts";
import type { Metadata } from "../../core/metadata/index.ts";
import type { TaskFigures } from "../../core/tasks/index.ts";
import { durationBounds } from "../../lib/durations.ts";
import { apiVersion, revision } from "../../lib/version.ts";
import { nextTurn } from "./exposition.ts";
import { watchLoop } from "./loop-lag.ts";
import { bootTime, limitOf, networkBytes, openDescriptors, processFacts } from "./process-facts.ts";

/** What the figures are read from; what is not there has none. */
export interface FigureSources {
  readonly tasks: TaskFigures | undefined;
  readonly gc: GarbageCollector | undefined;
  readonly metadata: Metadata | undefined;
  readonly exchange: Exchange | undefined;
  /** Containers that could not be measured, ever. */
  readonly missing: () => number;
}

/** The daemon's own figures: few, so that a library keeps and writes them. */
export class OwnFigures implements Disposable {
  readonly #registry = new Registry();
  readonly #stack = new DisposableStack();
  readonly #scrapes: Counter<"code">;
  readonly #scraping: Gauge;

  constructor(sources: FigureSources) {
    const { gc, tasks } = sources;
    const registers = [this.#registry];
    const build = new Counter({
      name: "containerd_build_info_total",
      help: "What is running.",
      labelNames: ["version", "revision"],
      registers,
    });
    build.inc({ version: apiVersion, revision });
    this.#scraping = new Gauge({
      name: "promhttp_metric_handler_requests_in_flight",
      help: "Pages of metrics that are being made.",
      registers,
    });
    this.#scrapes = new Counter({
      name: "promhttp_metric_handler_requests_total",
      help: "Pages of metrics that were asked for.",
      labelNames: ["code"],
      registers,
    });
    for (const code of ["200", "500", "503"]) this.#scrapes.inc({ code }, 0);
    this.#gauges(processGauges());
    this.#gauges(ownGauges(sources));
    const histogram = (name: string, help: string, buckets: readonly number[] = durationBounds): Histogram =>
      new Histogram({ name, help, buckets: [...buckets], registers });
    const lag = histogram("lighter_event_loop_lag_seconds", "By how much the event loop was late.", lagBounds);
    this.#stack.use(watchLoop((seconds) => lag.observe(seconds)));
    if (gc !== undefined)
      this.#watchCollections(gc, histogram("containerd_gc_gc_seconds", "How long collections took."));
    if (tasks !== undefined) this.#watchCalls(tasks);
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
    this.#registry.clear();
  }

  /** Says that a page is being made, until disposed of. */
  scrape(): Disposable {
    this.#scraping.inc();
    return { [Symbol.dispose]: () => this.#scraping.dec() };
  }

  scraped(code: number): void {
    this.#scrapes.inc({ code: String(code) });
  }

  /** In pieces of one metric, so that the event loop goes between them. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for (const { name } of this.#registry.getMetricsAsArray()) {
      yield `${await this.#registry.getSingleMetricAsString(name)}\n`;
      await nextTurn();
    }
  }

  #gauges(all: Iterable<OwnGauge>): void {
    for (const { name, help, isCounter, labelNames = [], read } of all) {
      const shape = { name, help, labelNames: [...labelNames], registers: [this.#registry] };
      if (isCounter === true) {
        const counter: Counter = new Counter({
          ...shape,
          collect: () => {
            counter.reset();
            for (const [labels, value] of read()) counter.inc(labels, value);
          },
        });
      } else {
        const gauge: Gauge = new Gauge({
          ...shape,
          collect: () => {
            gauge.reset();
            for (const [labels, value] of read()) gauge.set(labels, value);
          },
        });
      }
    }
  }

  #watchCollections(gc: GarbageCollector, times: Histogram): void {
    const collections = new Counter({
      name: "containerd_gc_collections_total",
      help: "Collections of garbage, by how they ended.",
      labelNames: ["status"],
      registers: [this.#registry],
    });
    this.#stack.use(
      gc.watch((elapsedMs, isWhole) => {
        collections.inc({ status: isWhole ? "success" : "fail" });
        if (isWhole) times.observe(elapsedMs / 1000);
      }),
    );
  }

  #watchCalls(tasks: TaskFigures): void {
    const calls = new Histogram({
      name: "lighter_runtime_call_seconds",
      help: "How long shims took for calls that change a task.",
      labelNames: ["call"],
      buckets: [...durationBounds],
      registers: [this.#registry],
    });
    this.#stack.use(tasks.watchCalls((call, ms) => calls.observe({ call }, ms / 1000)));
  }
}

/** Lag is of interest from half a millisecond on. */
const lagBounds = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

interface OwnGauge {
  readonly name: string;
  readonly help: string;
  readonly isCounter?: boolean;
  readonly labelNames?: readonly string[];
  readonly read: () => readonly (readonly [labels: Record<string, string>, value: number])[];
}

/** Source: prometheus/client_golang prometheus/process_collector.go, for the names. */
function processGauges(): readonly OwnGauge[] {
  const boot = bootTime();
  const one = (name: string, help: string, value: () => number, isCounter = false): OwnGauge => ({
    name: `process_${name}`,
    help,
    isCounter,
    read: () => [[{}, value()]],
  });
  const facts = (key: "cpuSeconds" | "startSeconds" | "virtualBytes" | "residentBytes") => (): number =>
    processFacts("self", boot)?.[key] ?? 0;
  return [
    one("cpu_seconds_total", "Processor time that was used.", facts("cpuSeconds"), true),
    one("max_fds", "How many descriptors there may be.", () => limitOf("Max open files")),
    one("network_receive_bytes_total", "Bytes that came by IP.", () => networkBytes().received, true),
    one("network_transmit_bytes_total", "Bytes that went by IP.", () => networkBytes().sent, true),
    one("open_fds", "How many descriptors there are.", openDescriptors),
    one("resident_memory_bytes", "Memory that is in use.", facts("residentBytes")),
    one("start_time_seconds", "When it was started, since 1970.", facts("startSeconds")),
    one("virtual_memory_bytes", "Address space that is in use.", facts("virtualBytes")),
    one("virtual_memory_max_bytes", "Address space that there may be.", () => {
      const limit = limitOf("Max address space");
      // As Go's client writes "no limit".
      return limit === Number.POSITIVE_INFINITY ? 2 ** 64 : limit;
    }),
  ];
}

function ownGauges({ tasks, metadata, exchange, missing }: FigureSources): readonly OwnGauge[] {
  const one = (name: string, help: string, value: () => number, isCounter = false): OwnGauge => ({
    name: `lighter_${name}`,
    help,
    isCounter,
    read: () => [[{}, value()]],
  });
  return [
    one("heap_bytes", "Memory of the JavaScript heap.", heapSize),
    one("tasks", "Tasks that are known, of all namespaces.", () => tasks?.all().length ?? 0),
    one("containers_not_measured_total", "Containers that a page had to leave out.", missing, true),
    {
      name: "lighter_queue_depth",
      help: "How much waits for its turn.",
      labelNames: ["queue"],
      read: () => [
        [{ queue: "metadata_mutations" }, metadata?.waiting ?? 0],
        [{ queue: "events" }, exchange?.queued ?? 0],
        [{ queue: "task_locks" }, tasks?.locksHeld ?? 0],
        [{ queue: "shim_host_calls" }, tasks?.callsHeldBack ?? 0],
      ],
    },
  ];
}
