import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { type Ctx, throwIfAborted } from "../../lib/ctx.ts";
import { messageOf } from "../../lib/faults.ts";
import type { LabelRecord } from "../../lib/labels.ts";
import {
  formatRestartRecord,
  isExplicitlyStopped,
  restartLabels,
  restartRecordOf,
  type WaitingRestart,
} from "../../lib/restart-labels.ts";
import type { ContainerStore } from "../containers/index.ts";
import { Errands, type ErrandsOptions } from "./errands.ts";
import { boundedWait, nextWait, spreadWait } from "./growing-wait.ts";
import { createPlaces, type Places } from "./places.ts";
import { planRestart } from "./plan.ts";
import { type RestartParts, restartTask } from "./restart-task.ts";
import { type SeenTask, seeTask } from "./seen-task.ts";
import { stopTask } from "./stop-task.ts";
import { type Facts, judge, paidRestart } from "./verdict.ts";
import { lifeOf, noteEnded, noteRunning, type Watched } from "./watched.ts";

export interface KeeperOptions extends RestartParts, ErrandsOptions {
  readonly containers: Pick<ContainerStore, "findSupervised" | "relabel">;
  readonly intervalMs: number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Restarts that go on at the same time: each is a runtime's work on a machine of few processors. */
const startsMax = 8;
const stopsMax = 8;
/** A shim that has not answered by then keeps no place from others. */
const placeLimitMs = 20_000;
/** A client that makes a container, or clears its task away, is given no longer than this for its next step. */
const graceMaxMs = 10_000;
/** Between two kills of one that shall be stopped; they grow. */
const firstKillWaitMs = 1_000;

/** Brings one container after the other to what its labels want. */
export class Keeper {
  readonly graceMs: number;
  readonly #options: KeeperOptions;
  readonly #starts: Places;
  readonly #stops: Places;
  readonly #errands: Errands;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.graceMs = Math.min(options.intervalMs, graceMaxMs);
    this.#errands = new Errands(options);
    this.#starts = createPlaces(startsMax, placeLimitMs, options.timers);
    this.#stops = createPlaces(stopsMax, placeLimitMs, options.timers);
  }

  /** Settles when nothing is under way. */
  idle(): Promise<void> {
    return this.#errands.idle();
  }

  /** Looks at a container and begins what has to be done. Never rejects: where the store refuses, it is tried again later. */
  async tend(watched: Watched, ctx: Ctx): Promise<void> {
    try {
      await this.#tend(watched, ctx);
    } catch (error) {
      if (ctx.aborted) return;
      this.#errands.complain(watched, `can't be looked after: ${messageOf(error)}`);
      this.#errands.later(watched, this.graceMs);
    }
  }

  async #tend(watched: Watched, ctx: Ctx): Promise<void> {
    this.#errands.forgetTimer(watched);
    watched.settled = false;
    const seen = await seeTask(this.#options.tasks, ctx, watched.id);
    throwIfAborted(ctx.signal);
    const container = this.#options.containers.findSupervised(watched);
    // Another one, or none: an event tells of it, and it is looked at again.
    if (container === undefined || lifeOf(container) !== watched.life) return;
    if (seen.kind === "unknown") return this.#unknown(watched, seen);
    const now = this.#options.timers.now();
    if (seen.kind === "running" || seen.kind === "paused") noteRunning(watched, now);
    else if (seen.kind !== "created") noteEnded(watched, now);
    if (seen.kind !== "none") watched.pid = seen.pid;
    const verdict = judge(container.labels, factsOf(watched, seen));
    if (verdict.act === "restart") return this.#plan(watched, ctx, container, seen);
    watched.atStart = false;
    watched.dueAt = undefined;
    if (verdict.act === "stop" || isToBeCleared(watched, container, seen)) return this.#stop(watched, ctx, seen);
    // Until an event tells otherwise.
    watched.settled = true;
    if (verdict.act === "refuse") this.#errands.complain(watched, `is not restarted: ${verdict.why}`);
    else if (verdict.act === "end") await this.#noteEnd(watched, ctx, container, verdict.exitStatus);
    else await this.#settle(watched, ctx, container, seen);
  }

  /** Its shim does not tell: nothing is done to what may well run. */
  #unknown(watched: Watched, { trouble }: SeenTask): void {
    this.#errands.complain(watched, `can't be looked after: ${trouble}`);
    this.#errands.later(watched, this.graceMs);
  }

  /** What was decided is done, or wanted no more. */
  async #settle(watched: Watched, ctx: Ctx, container: Container, { kind }: SeenTask): Promise<void> {
    const runs = kind === "running" || kind === "paused";
    if (runs) {
      watched.complaint = undefined;
      watched.paid = undefined;
      watched.cutOff = false;
      watched.killAgainAt = undefined;
    }
    const isOver = ({ labels }: Container): boolean =>
      labels[restartLabels.record] !== undefined && (runs || restartRecordOf(labels)?.state === "waiting");
    if (!isOver(container)) return;
    await this.#relabel(watched, ctx, (stored) => (isOver(stored) ? { [restartLabels.record]: "" } : undefined));
    if (runs) this.#options.failpoint("restart.settled");
  }

  async #noteEnd(watched: Watched, ctx: Ctx, container: Container, exitStatus: number): Promise<void> {
    const text = formatRestartRecord({ state: "ended", exitStatus });
    if (container.labels[restartLabels.record] === text) return;
    await this.#relabel(watched, ctx, () => ({ [restartLabels.record]: text }));
    this.#options.log.info("container is not restarted any more", { ...nameOf(watched), exitStatus });
  }

  async #plan(watched: Watched, ctx: Ctx, container: Container, seen: SeenTask): Promise<void> {
    const { timers, log, failpoint } = this.#options;
    const paid = paidRestart(container.labels, seen);
    watched.cutOff ||= watched.atStart && seen.kind === "created" && paid !== undefined;
    const isOurs = watched.heardExit !== undefined || restartRecordOf(container.labels) !== undefined;
    const graceLeft = this.#graceLeft(watched, seen, isOurs);
    if (graceLeft > 0) return this.#errands.later(watched, graceLeft);
    if (paid === undefined) {
      watched.waitMs = nextWait(watched.waitMs);
      const facts = factsOf(watched, seen);
      const planned = await this.#decide(watched, ctx, facts, spreadWait(watched.waitMs, this.#options.random()));
      throwIfAborted(ctx.signal);
      const record = planned === undefined ? undefined : waitingOf(planned.labels);
      // Changed meanwhile: its event brings the next look.
      if (record === undefined) return;
      failpoint("restart.planned");
      const { count, reason, waitMs } = record;
      log.info("container is to be restarted", { ...nameOf(watched), reason, count, waitMs });
      watched.paid = record;
      const deletedLately = watched.idleSince === undefined ? 0 : watched.idleSince + this.graceMs - timers.now();
      watched.dueAt = timers.now() + Math.max(waitMs, watched.heardExit === undefined ? 0 : deletedLately);
    } else {
      watched.paid ??= paid;
      watched.waitMs = Math.max(watched.waitMs, boundedWait(paid.waitMs));
      watched.dueAt ??= timers.now() + boundedWait(paid.waitMs);
    }
    watched.atStart = false;
    const left = watched.dueAt - timers.now();
    if (left > 0) this.#errands.later(watched, left);
    else this.#restart(watched, ctx, seen);
  }

  /** Writes the decision down, with the count. What this daemon has counted already for the same end is not counted again. */
  #decide(watched: Watched, ctx: Ctx, facts: Facts, waitMs: number): Promise<Container | undefined> {
    const { seen } = facts;
    const before = watched.paid;
    const paid = seen.kind !== "stopped" || before?.task === seen.end ? before : undefined;
    return this.#relabel(watched, ctx, ({ labels }) => planRestart(labels, facts, waitMs, paid));
  }

  /**
   * How long whoever made a container, or deleted its task, has for the next step: only what ended while it was watched, or
   * was found at the daemon's start, is nobody's business but ours.
   */
  #graceLeft(watched: Watched, { kind }: SeenTask, isOurs: boolean): number {
    if (watched.atStart || watched.cutOff || kind === "stopped" || (kind === "none" && isOurs)) return 0;
    const now = this.#options.timers.now();
    watched.idleSince ??= now;
    return watched.idleSince + this.graceMs - now;
  }

  #restart(watched: Watched, ctx: Ctx, expected: SeenTask): void {
    const { reason, count } = watched.paid ?? {};
    const action = async (): Promise<void> => {
      const restarted = await restartTask(this.#options, {
        ctx,
        name: nameOf(watched),
        expected,
        decided: (seen) => this.#decided(watched, ctx, seen),
        isWanted: (container) => container !== undefined && lifeOf(container) === watched.life && isToRun(container),
        deleting: (pid) => {
          watched.deletedPid = pid;
        },
      });
      if (restarted) this.#options.log.info("container restarted", { ...nameOf(watched), reason, count });
    };
    this.#begin(watched, ctx, this.#starts, action);
  }

  #begin(watched: Watched, ctx: Ctx, places: Places, action: () => Promise<void>): void {
    this.#errands.begin(watched, ctx, { places, action, failed: (error) => this.#failed(watched, ctx, error) });
  }

  /** The decision may have been wiped away by a client that wrote back what it had read before: then it is written once more. */
  async #decided(watched: Watched, ctx: Ctx, seen: SeenTask): Promise<Container | undefined> {
    const container = this.#options.containers.findSupervised(watched);
    if (container === undefined || lifeOf(container) !== watched.life) return undefined;
    const facts = factsOf(watched, seen);
    if (judge(container.labels, facts).act !== "restart") return undefined;
    if (paidRestart(container.labels, seen) !== undefined) return container;
    return this.#decide(watched, ctx, facts, watched.waitMs);
  }

  #stop(watched: Watched, ctx: Ctx, seen: SeenTask): void {
    const { timers } = this.#options;
    const isKill = seen.kind === "running" || seen.kind === "paused";
    const dueAt = Math.max(watched.retryAt ?? 0, isKill ? (watched.killAgainAt ?? 0) : 0);
    if (dueAt > timers.now()) return this.#errands.later(watched, dueAt - timers.now());
    this.#begin(watched, ctx, this.#stops, async () => {
      if (isKill) {
        watched.waitMs = Math.max(nextWait(watched.waitMs), firstKillWaitMs);
        watched.killAgainAt = timers.now() + watched.waitMs;
      }
      await stopTask(this.#options.tasks, ctx, watched.id, seen);
      watched.retryAt = undefined;
      if (!isKill) watched.killAgainAt = undefined;
      this.#options.log.info(isKill ? "container is stopped" : "task deleted", { ...nameOf(watched) });
    });
  }

  /** Tries again later. The reason is kept with the container, where people find it. */
  async #failed(watched: Watched, ctx: Ctx, error: unknown): Promise<void> {
    watched.waitMs = nextWait(watched.waitMs);
    const waitMs = spreadWait(watched.waitMs, this.#options.random());
    watched.dueAt = watched.retryAt = this.#options.timers.now() + waitMs;
    const reason = messageOf(error);
    this.#errands.complain(watched, `can't be brought to what its labels say: ${reason}`);
    try {
      await this.#relabel(watched, ctx, ({ labels }) => {
        const record = waitingOf(labels);
        if (record === undefined) return undefined;
        const text = formatRestartRecord({ ...record, reason });
        return text === labels[restartLabels.record] ? undefined : { [restartLabels.record]: text };
      });
    } catch (cause) {
      this.#errands.complain(watched, `can't be written to: ${messageOf(cause)}`);
    }
  }

  #relabel(
    watched: Watched,
    ctx: Ctx,
    change: (stored: Container) => LabelRecord | undefined,
  ): Promise<Container | undefined> {
    return this.#options.containers.relabel(ctx, watched.id, (stored) =>
      lifeOf(stored) === watched.life ? change(stored) : undefined,
    );
  }
}

function factsOf(watched: Watched, seen: SeenTask): Facts {
  const { heardExit, ranBefore, atStart } = watched;
  return { seen, heardExit, ranBefore, atStart };
}

function nameOf({ namespace, id }: Watched): { readonly namespace: string; readonly id: string } {
  return { namespace, id };
}

function waitingOf(labels: LabelRecord): WaitingRestart | undefined {
  const record = restartRecordOf(labels);
  return record?.state === "waiting" ? record : undefined;
}

/** Killed by the monitor for its label, and ended since: containerd deletes such a task. */
function isToBeCleared(watched: Watched, { labels }: Container, { kind }: SeenTask): boolean {
  return watched.killAgainAt !== undefined && kind === "stopped" && labels[restartLabels.status] === "stopped";
}

function isToRun({ labels }: Container): boolean {
  return (
    labels[restartLabels.status] === "running" && labels[restartLabels.policy] !== "no" && !isExplicitlyStopped(labels)
  );
}
