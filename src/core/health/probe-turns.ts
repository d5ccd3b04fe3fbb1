import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Slots } from "../../lib/slots.ts";
import type { ContainerStore } from "../containers/index.ts";
import { type Checked, ctxOf, keyOf, nameOf } from "./checked.ts";
import { nextProbeMs } from "./health-state.ts";
import { type ProbeParts, runProbe } from "./probe.ts";
import type { Verdicts } from "./verdicts.ts";

export interface ProbeTurnsOptions extends ProbeParts {
  readonly containers: Pick<ContainerStore, "findChecked">;
  readonly verdicts: Verdicts;
  readonly slots: Slots;
  readonly log: Logger;
  /** Settles when nothing is under way that a check of this container would be in the way of. */
  readonly free: (checked: Checked) => Promise<void> | undefined;
  /** Told that a container's task is no more. */
  readonly ended: (checked: Checked) => void;
  /** Keeps hold of what is under way. */
  readonly track: (work: Promise<void>) => void;
}

/** When each container is checked: one thing at a time for each, the next check after it, so many at the same time for all. */
export class ProbeTurns {
  readonly #options: ProbeTurnsOptions;
  /** By container: what is under way for its last task, of which little is left, is waited for by what is done for the next one. */
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(options: ProbeTurnsOptions) {
    this.#options = options;
  }

  /** Has a container checked when it is due, in place of what was planned before. */
  schedule(checked: Checked, sinceMs: number = this.#options.now()): void {
    const { timers, now } = this.#options;
    this.forget(checked);
    if (checked.ending.signal.aborted) return;
    const wait = nextProbeMs(checked.state, checked.check, now());
    // A clock that was set makes nobody wait for longer than one wait.
    const left = Math.min(Math.max(0, sinceMs + wait - now()), wait);
    checked.timer = timers.after(left, () => this.run(checked, () => this.#probe(checked)));
  }

  forget(checked: Checked): void {
    checked.timer?.[Symbol.dispose]();
    checked.timer = undefined;
  }

  /** Does something for a container after what is under way for it; its next check is after it. Effects: a failure is logged. */
  run(checked: Checked, action: () => Promise<void>): void {
    const key = keyOf(checked);
    const before = this.#underWay.get(key);
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
      if (this.#underWay.get(key) === work) this.#underWay.delete(key);
      if (checked.work !== work) return;
      checked.work = undefined;
      this.schedule(checked);
    });
    checked.work = work;
    this.#underWay.set(key, work);
    this.#options.track(work);
  }

  async #probe(checked: Checked): Promise<void> {
    const { containers, slots, verdicts, log, free } = this.#options;
    const { signal } = checked.ending;
    await free(checked);
    using _slot = await slots.take(signal);
    const container = containers.findChecked(checked);
    if (container === undefined || signal.aborted) return;
    // What tells of its end may have come before it was known to be frozen.
    if (checked.paused && !(await this.#runs(checked))) return;
    checked.paused = false;
    const { spec } = container;
    if (spec === undefined) return;
    const { check } = checked;
    const result = await runProbe(this.#options, { ctx: ctxOf(checked, signal, log), id: checked.id, check, spec });
    // What a check says that was frozen, or whose container ended under it, says nothing of the container.
    if (signal.aborted || checked.paused || !(await this.#runs(checked)) || checked.paused) return;
    await verdicts.take(checked, result);
  }

  async #runs(checked: Checked): Promise<boolean> {
    const { tasks, log, ended } = this.#options;
    const { signal } = checked.ending;
    try {
      const { status, pid } = await (await tasks.get(ctxOf(checked, signal, log), checked.id)).state("");
      return status === Status.RUNNING && pid === checked.state.pid && !signal.aborted;
    } catch (error) {
      if (!isFault(error, "notFound")) throw error;
      ended(checked);
      return false;
    }
  }
}
