import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { unlessAborted } from "../../lib/ctx.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Slots } from "../../lib/slots.ts";
import type { Timers } from "../../lib/timers.ts";
import type { ContainerName, ContainerStore } from "../containers/index.ts";
import type { TaskManager } from "../tasks/index.ts";
import { ctxOf, keyOf, nameOf } from "./checked.ts";
import type { HealthState } from "./health-state.ts";
import { clearProbe } from "./probe.ts";
import type { StateFiles } from "./state-files.ts";

/** A container whose task was found running, or paused. */
export interface Adopted extends ContainerName {
  readonly pid: number;
  readonly isPaused: boolean;
  /** What is known of this task's health; undefined for nothing. */
  readonly state: HealthState | undefined;
}

export interface AdoptionOptions {
  readonly containers: Pick<ContainerStore, "checked" | "findChecked">;
  readonly tasks: Pick<TaskManager, "get" | "recovered">;
  readonly files: StateFiles;
  readonly timers: Timers;
  readonly slots: Slots;
  readonly log: Logger;
  /** Fires when the daemon ends. */
  readonly closing: AbortSignal;
  /** Whether an event came first, and it is looked after already. */
  readonly isKnown: (name: ContainerName) => boolean;
  readonly adopted: (adopted: Adopted) => Promise<void>;
  /** Keeps hold of what is under way. */
  readonly track: (work: Promise<void>) => void;
}

const pageSize = 128;

/** Takes up containers that run already: at the daemon's start, and those that are given a check while they run. */
export class Adoption {
  readonly #options: AdoptionOptions;
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  /** Settles once a container is taken up, or was found not to be; undefined where nothing is under way for it. Never rejects. */
  underWay(name: ContainerName): Promise<void> | undefined {
    return this.#underWay.get(keyOf(name));
  }

  /** Takes up all that have a check, once the tasks of the daemon's last life are known, and removes the files of those that are gone. */
  async all(): Promise<void> {
    const { containers, files, tasks, log, closing } = this.#options;
    await unlessAborted(tasks.recovered, closing).catch(() => undefined);
    if (closing.aborted) return;
    for (let last: ContainerName | undefined; ; ) {
      const page = containers.checked(last, pageSize);
      for (const name of page) this.one(name);
      last = page.at(-1);
      if (page.length < pageSize || closing.aborted) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await files
      .sweep((name) => containers.findChecked(name) !== undefined)
      .catch((error: unknown) => {
        log.warn("sweep the files of health checks", { error });
      });
  }

  /**
   * Takes up a container that the daemon's last life looked after, or that was started while none lived.
   * Shape: once at a time. What is under way reads its labels last, and so takes what changes meanwhile for granted.
   */
  one(name: ContainerName): void {
    const key = keyOf(name);
    if (this.#underWay.has(key)) return;
    const work = this.#adopt(name)
      .catch((error: unknown) => {
        const { closing, log } = this.#options;
        if (isFault(error, "notFound") || closing.aborted) return;
        log.warn("take up a container's health check", { ...nameOf(name), error: messageOf(error) });
      })
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, work);
    this.#options.track(work);
  }

  async #adopt(name: ContainerName): Promise<void> {
    const { tasks, files, timers, slots, closing, log, isKnown, adopted } = this.#options;
    using _slot = await slots.take(closing);
    // Its task is a new one then, in which nobody has left a check.
    if (isKnown(name)) return;
    const task = await tasks.get(ctxOf(name, closing, log), name.id);
    await clearProbe(timers, task);
    const found = await files.read(name);
    const { status, pid } = await task.state("");
    if (status !== Status.RUNNING && status !== Status.PAUSED && status !== Status.PAUSING) return;
    if (closing.aborted || isKnown(name)) return;
    const state = found?.pid === pid ? found : undefined;
    await adopted({ ...nameOf(name), pid, isPaused: status !== Status.RUNNING, state });
  }
}
