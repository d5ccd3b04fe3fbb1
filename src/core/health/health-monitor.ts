import { create } from "@bufbuild/protobuf";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { HealthChangedSchema } from "../../gen/lighter/health/v1/health_pb.ts";
import { type Ctx, createCtx, unlessAborted } from "../../lib/ctx.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import {
  formatHealthView,
  type HealthCheck,
  healthLabels,
  healthViewOf,
  parseHealthCheck,
} from "../../lib/health-labels.ts";
import type { LabelRecord } from "../../lib/labels.ts";
import type { Logger } from "../../lib/log.ts";
import { createSlots, type Slots } from "../../lib/slots.ts";
import { createTimers, settledWithin, type Timers } from "../../lib/timers.ts";
import type { Kernel } from "../../sys/index.ts";
import { anyOf } from "../../wire/any.ts";
import type { ContainerName, ContainerStore } from "../containers/index.ts";
import type { Exchange } from "../events/index.ts";
import type { TaskManager } from "../tasks/index.ts";
import {
  afterProbe,
  type HealthState,
  inStartPeriod,
  newHealthState,
  nextProbeMs,
  type ProbeResult,
} from "./health-state.ts";
import { clearProbe, runProbe } from "./probe.ts";
import type { StateFiles } from "./state-files.ts";
import { readTaskChange, type TaskChange } from "./task-changes.ts";

export interface HealthMonitorOptions {
  readonly containers: Pick<ContainerStore, "checked" | "findChecked" | "relabel">;
  readonly tasks: Pick<TaskManager, "get" | "recovered">;
  readonly exchange: Pick<Exchange, "observe" | "publish">;
  readonly kernel: Pick<Kernel, "mkfifo">;
  readonly files: StateFiles;
  /** Where pipes are made for the time of a check. */
  readonly pipes: string;
  /** Checks that run at the same time; the others wait for their turn. */
  readonly maxProbes: number;
  /** Whether containers are checked that nerdctl made: it runs their checks itself where there is systemd. */
  readonly checksNerdctl: boolean;
  readonly log: Logger;
  readonly timers?: Timers | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

/** A container whose task runs and is checked. */
interface Checked extends ContainerName {
  check: HealthCheck;
  checkText: string;
  state: HealthState;
  paused: boolean;
  /** Ends what is under way for it. */
  readonly ending: AbortController;
  timer: Disposable | undefined;
  work: Promise<void> | undefined;
}

const pageSize = 128;
/** How long the daemon's end waits for what is under way. */
const closeLimitMs = 8_000;

/**
 * Watches the health of containers that have a check, from now on until disposed of.
 * Effects: those that run already are taken up as soon as the tasks of the daemon's last life are known.
 */
export class HealthMonitor implements AsyncDisposable {
  readonly #options: HealthMonitorOptions;
  readonly #timers: Timers;
  readonly #now: () => number;
  readonly #slots: Slots;
  readonly #closing = new AbortController();
  readonly #checked = new Map<string, Checked>();
  readonly #observing: Disposable;
  readonly #works = new Set<Promise<void>>();

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
    this.#timers = options.timers ?? createTimers();
    this.#now = options.now ?? Date.now;
    this.#slots = createSlots(options.maxProbes);
    this.#observing = options.exchange.observe((envelope) => this.#hear(envelope));
    this.#track(this.#adoptAll());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#observing[Symbol.dispose]();
    this.#closing.abort();
    for (const checked of this.#checked.values()) this.#end(checked);
    await settledWithin(this.#timers, Promise.allSettled(this.#works), closeLimitMs);
  }

  /** What is known of a container's health; undefined for one that has no check, or never ran. Errors: as the filesystem's. */
  async stateOf(name: ContainerName): Promise<HealthState | undefined> {
    return this.#checked.get(keyOf(name))?.state ?? (await this.#options.files.read(name));
  }

  #hear(envelope: Envelope): void {
    const change = readTaskChange(envelope);
    if (change === undefined || this.#closing.signal.aborted) return;
    this.#follow({ namespace: envelope.namespace, id: change.id }, change);
  }

  #follow(name: ContainerName, change: TaskChange): void {
    const known = this.#checked.get(keyOf(name));
    switch (change.what) {
      case "started":
        this.#started(name, change.pid);
        break;
      case "ended":
        if (known !== undefined) this.#end(known);
        break;
      case "removed":
        if (known !== undefined) this.#end(known);
        this.#track(this.#options.files.remove(name));
        break;
      case "relabeled":
        if (known !== undefined) this.#relabeled(known);
        else if (this.#options.containers.findChecked(name) !== undefined) this.#track(this.#adopt(name));
        break;
      case "paused":
        if (known !== undefined) this.#hold(known);
        break;
      default:
        if (known !== undefined) this.#goOn(known);
    }
  }

  #started(name: ContainerName, pid: number): void {
    const known = this.#checked.get(keyOf(name));
    if (known?.state.pid === pid) return;
    if (known !== undefined) this.#end(known);
    const container = this.#options.containers.findChecked(name);
    if (container === undefined) return;
    const checked = this.#watch(name, container, newHealthState(pid, this.#now()));
    if (checked === undefined) return;
    this.#run(checked, async () => {
      // An event may come again, to the next daemon.
      const found = await this.#options.files.read(name);
      if (found?.pid === pid) checked.state = found;
      else await this.#options.files.write(name, checked.state);
      await this.#show(checked, undefined);
    });
  }

  /** Begins to look after a container that runs; undefined when it is not to be checked. */
  #watch(name: ContainerName, { labels }: Container, state: HealthState): Checked | undefined {
    const found = this.#checkOf(name, labels);
    if (found === undefined) return undefined;
    const { namespace, id } = name;
    const ending = new AbortController();
    const more = { paused: false, ending, timer: undefined, work: undefined };
    const checked: Checked = { namespace, id, ...found, state, ...more };
    this.#checked.set(keyOf(name), checked);
    return checked;
  }

  #checkOf(name: ContainerName, labels: LabelRecord): { check: HealthCheck; checkText: string } | undefined {
    const nerdctl = this.#options.checksNerdctl ? labels[healthLabels.nerdctlCheck] : undefined;
    const checkText = labels[healthLabels.check] ?? nerdctl;
    if (checkText === undefined) return undefined;
    try {
      const check = parseHealthCheck(checkText);
      return check && { check, checkText };
    } catch (error) {
      this.#options.log.error("container is not checked", { ...nameOf(name), error: messageOf(error) });
      return undefined;
    }
  }

  #relabeled(checked: Checked): void {
    const labels = this.#options.containers.findChecked(checked)?.labels ?? {};
    const found = this.#checkOf(checked, labels);
    if (found === undefined) this.#end(checked);
    else if (found.checkText !== checked.checkText) {
      Object.assign(checked, found);
      if (checked.work === undefined) this.#schedule(checked);
    }
  }

  #hold(checked: Checked): void {
    checked.paused = true;
  }

  #goOn(checked: Checked): void {
    checked.paused = false;
    if (checked.work === undefined) this.#schedule(checked);
  }

  #end(checked: Checked): void {
    checked.ending.abort();
    checked.timer?.[Symbol.dispose]();
    checked.timer = undefined;
    if (this.#checked.get(keyOf(checked)) === checked) this.#checked.delete(keyOf(checked));
  }

  #schedule(checked: Checked, sinceMs: number = this.#now()): void {
    checked.timer?.[Symbol.dispose]();
    checked.timer = undefined;
    if (checked.ending.signal.aborted) return;
    const now = this.#now();
    const wait = nextProbeMs(checked.state, checked.check, now);
    // A clock that was set makes nobody wait for longer than one wait.
    const left = Math.min(Math.max(0, sinceMs + wait - now), wait);
    checked.timer = this.#timers.after(left, () => this.#run(checked, () => this.#probe(checked)));
  }

  /** One thing at a time for each container; its next check is after it. */
  #run(checked: Checked, action: () => Promise<void>): void {
    const before = checked.work;
    const run = async (): Promise<void> => {
      await before;
      try {
        await action();
      } catch (error) {
        if (checked.ending.signal.aborted) return;
        this.#options.log.warn("look after a container's health", { ...nameOf(checked), error: messageOf(error) });
      }
    };
    const work = run().finally(() => {
      if (checked.work !== work) return;
      checked.work = undefined;
      this.#schedule(checked);
    });
    checked.work = work;
    this.#track(work);
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#options.log.error("look after health", { error }))
      .finally(() => this.#works.delete(tracked));
    this.#works.add(tracked);
  }

  async #probe(checked: Checked): Promise<void> {
    const { signal } = checked.ending;
    using _slot = await this.#slots.take(signal);
    const container = this.#options.containers.findChecked(checked);
    if (container === undefined || signal.aborted) return;
    // What tells of its end may have come before it was known to be frozen.
    if (checked.paused && !(await this.#runs(checked))) return;
    checked.paused = false;
    const { spec } = container;
    if (spec === undefined) return;
    const { check } = checked;
    const parts = { ...this.#options, timers: this.#timers, now: this.#now };
    const ctx = this.#ctxOf(checked, signal);
    const result = await runProbe(parts, { ctx, id: checked.id, check, spec });
    // What a check says that was frozen, or whose container ended under it, says nothing of the container.
    if (signal.aborted || checked.paused || !(await this.#runs(checked)) || checked.paused) return;
    await this.#take(checked, result);
  }

  async #runs(checked: Checked): Promise<boolean> {
    try {
      const task = await this.#options.tasks.get(this.#ctxOf(checked, checked.ending.signal), checked.id);
      const { status, pid } = await task.state("");
      return status === Status.RUNNING && pid === checked.state.pid && !checked.ending.signal.aborted;
    } catch (error) {
      if (!isFault(error, "notFound")) throw error;
      this.#end(checked);
      return false;
    }
  }

  async #take(checked: Checked, result: ProbeResult): Promise<void> {
    checked.state = afterProbe(checked.state, checked.check, result);
    await this.#options.files.write(checked, checked.state);
    const labels = this.#options.containers.findChecked(checked)?.labels;
    if (labels === undefined) return;
    // After each check: what failed last time, or what a death came before, is done by the next one.
    if (healthViewOf(labels)?.status !== checked.state.status) await this.#show(checked, result);
    if (checked.state.status === "unhealthy" && labels[healthLabels.onFailure] === "kill") await this.#kill(checked);
  }

  /**
   * Brings the container's label to what the file says, and tells of it.
   * Effects: whoever dies before it is followed by one that finds the two different.
   */
  async #show(checked: Checked, result: ProbeResult | undefined): Promise<void> {
    const { containers, exchange, log } = this.#options;
    const { state, check } = checked;
    const ctx = this.#ctxOf(checked, checked.ending.signal);
    const label = formatHealthView(state, inStartPeriod(state, check, this.#now()));
    const changed = await containers.relabel(ctx, checked.id, ({ labels }) =>
      healthViewOf(labels)?.status === state.status ? undefined : { [healthLabels.state]: label },
    );
    if (changed === undefined || state.status === "starting") return;
    const { status, failingStreak } = state;
    const { exitCode = 0, output = "" } = result ?? state.probes.at(-1) ?? {};
    const told = { containerId: checked.id, status, failingStreak, exitCode, output };
    exchange.publish(ctx, "/containers/health", anyOf(HealthChangedSchema, create(HealthChangedSchema, told)));
    log.info("container's health changed", { ...nameOf(checked), status, failingStreak });
  }

  async #kill(checked: Checked): Promise<void> {
    const ctx = this.#ctxOf(checked, checked.ending.signal);
    this.#options.log.warn("container is killed: it is unhealthy", { ...nameOf(checked) });
    await (await this.#options.tasks.get(ctx, checked.id)).kill("", { signal: 9, all: false });
  }

  async #adoptAll(): Promise<void> {
    const { containers, files, tasks, log } = this.#options;
    const { signal } = this.#closing;
    await unlessAborted(tasks.recovered, signal).catch(() => undefined);
    if (signal.aborted) return;
    for (let last: ContainerName | undefined; ; ) {
      const page = containers.checked(last, pageSize);
      for (const name of page) this.#track(this.#adopt(name));
      last = page.at(-1);
      if (page.length < pageSize || signal.aborted) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await files
      .sweep((name) => containers.findChecked(name) !== undefined)
      .catch((error: unknown) => {
        log.warn("sweep the files of health checks", { error });
      });
  }

  /** Takes up a container that the daemon's last life looked after, or that was started while none lived. */
  async #adopt(name: ContainerName): Promise<void> {
    const { signal } = this.#closing;
    using _slot = await this.#slots.take(signal);
    const { tasks, containers, files, log } = this.#options;
    const ctx = this.#ctxOf(name, signal);
    try {
      const task = await tasks.get(ctx, name.id);
      await clearProbe(this.#timers, task);
      const found = await files.read(name);
      const { status, pid } = await task.state("");
      if (status !== Status.RUNNING && status !== Status.PAUSED && status !== Status.PAUSING) return;
      const container = containers.findChecked(name);
      // An event came first.
      if (container === undefined || signal.aborted || this.#checked.has(keyOf(name))) return;
      const state = found?.pid === pid ? found : newHealthState(pid, this.#now());
      const checked = this.#watch(name, container, state);
      if (checked === undefined) return;
      checked.paused = status !== Status.RUNNING;
      await this.#show(checked, undefined);
      if (checked.work === undefined) this.#schedule(checked, state.probes.at(-1)?.endedMs ?? state.startedMs);
    } catch (error) {
      if (!isFault(error, "notFound") && !signal.aborted) {
        log.warn("take up a container's health check", { ...nameOf(name), error: messageOf(error) });
      }
    }
  }

  #ctxOf({ namespace }: ContainerName, signal: AbortSignal): Ctx {
    return createCtx({ namespace, signal, log: this.#options.log });
  }
}

function keyOf({ namespace, id }: ContainerName): string {
  return `${namespace}/${id}`;
}

function nameOf({ namespace, id }: ContainerName): { readonly namespace: string; readonly id: string } {
  return { namespace, id };
}
