import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import type { Logger } from "../../lib/log.ts";
import { createSlots } from "../../lib/slots.ts";
import { createTimers, settledWithin, type Timers } from "../../lib/timers.ts";
import type { Kernel } from "../../sys/index.ts";
import type { ContainerName, ContainerStore } from "../containers/index.ts";
import type { Exchange } from "../events/index.ts";
import type { TaskManager } from "../tasks/index.ts";
import { type Adopted, Adoption } from "./adoption.ts";
import { type Checked, keyOf, newChecked, wantedCheck } from "./checked.ts";
import { type HealthState, newHealthState } from "./health-state.ts";
import { ProbeTurns } from "./probe-turns.ts";
import type { StateFiles } from "./state-files.ts";
import { readTaskChange, type TaskChange } from "./task-changes.ts";
import { Verdicts } from "./verdicts.ts";

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
  readonly #verdicts: Verdicts;
  readonly #turns: ProbeTurns;
  readonly #adoption: Adoption;
  readonly #closing = new AbortController();
  readonly #checked = new Map<string, Checked>();
  readonly #observing: Disposable;
  readonly #works = new Set<Promise<void>>();

  constructor(options: HealthMonitorOptions) {
    const { timers = createTimers(), now = Date.now, maxProbes, exchange } = options;
    this.#options = options;
    this.#timers = timers;
    this.#now = now;
    const common = { ...options, timers, now, slots: createSlots(maxProbes), track: this.#track.bind(this) };
    this.#verdicts = new Verdicts(common);
    this.#turns = new ProbeTurns({
      ...common,
      verdicts: this.#verdicts,
      free: (checked) => this.#adoption.underWay(checked),
      ended: (checked) => this.#end(checked),
    });
    this.#adoption = new Adoption({
      ...common,
      closing: this.#closing.signal,
      isKnown: (name) => this.#checked.has(keyOf(name)),
      adopted: (found) => this.#adopted(found),
    });
    this.#observing = exchange.observe((envelope) => this.#hear(envelope));
    this.#track(this.#adoption.all());
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
        else if (this.#options.containers.findChecked(name) !== undefined) this.#adoption.one(name);
        break;
      case "paused":
        if (known !== undefined) known.paused = true;
        break;
      default:
        if (known !== undefined) this.#goOn(known);
    }
  }

  #started(name: ContainerName, pid: number): void {
    const known = this.#checked.get(keyOf(name));
    if (known?.state.pid === pid) return;
    if (known !== undefined) this.#end(known);
    const checked = this.#watch(name, newHealthState(pid, this.#now()));
    if (checked === undefined) return;
    const { files } = this.#options;
    this.#turns.run(checked, async () => {
      // An event may come again, to the next daemon.
      const found = await files.read(name);
      if (found?.pid === pid) checked.state = found;
      else await files.write(name, checked.state);
      await this.#verdicts.show(checked, undefined);
    });
  }

  async #adopted({ isPaused, pid, state, ...name }: Adopted): Promise<void> {
    const checked = this.#watch(name, state ?? newHealthState(pid, this.#now()));
    if (checked === undefined) return;
    checked.paused = isPaused;
    try {
      await this.#verdicts.show(checked, undefined);
    } finally {
      const { probes, startedMs } = checked.state;
      if (checked.work === undefined) this.#turns.schedule(checked, probes.at(-1)?.endedMs ?? startedMs);
    }
  }

  /** Begins to look after a container that runs; undefined when it is not to be checked. */
  #watch(name: ContainerName, state: HealthState): Checked | undefined {
    const labels = this.#options.containers.findChecked(name)?.labels;
    const wanted = labels && wantedCheck(name, labels, this.#options);
    if (wanted === undefined) return undefined;
    const checked = newChecked(name, wanted, state);
    this.#checked.set(keyOf(name), checked);
    return checked;
  }

  #relabeled(checked: Checked): void {
    const labels = this.#options.containers.findChecked(checked)?.labels ?? {};
    const wanted = wantedCheck(checked, labels, this.#options);
    if (wanted === undefined) this.#end(checked);
    else if (wanted.checkText !== checked.checkText) {
      Object.assign(checked, wanted);
      if (checked.work === undefined) this.#turns.schedule(checked);
    }
  }

  #goOn(checked: Checked): void {
    checked.paused = false;
    if (checked.work === undefined) this.#turns.schedule(checked);
  }

  #end(checked: Checked): void {
    checked.ending.abort();
    this.#turns.forget(checked);
    if (this.#checked.get(keyOf(checked)) === checked) this.#checked.delete(keyOf(checked));
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#options.log.error("look after health", { error }))
      .finally(() => this.#works.delete(tracked));
    this.#works.add(tracked);
  }
}
