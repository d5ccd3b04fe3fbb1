import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { WaitingRestart } from "../../lib/restart-labels.ts";
import type { ContainerName } from "../containers/index.ts";
import { wasLongLife } from "./growing-wait.ts";
import type { Told } from "./task-events.ts";

/** What the monitor remembers of one container. All of it may be lost: what must not be is in the container's labels. */
export interface Watched extends ContainerName {
  /** Tells the container from another one of its name. */
  readonly life: string;
  /** Was there before this daemon, which has not yet decided about it. */
  atStart: boolean;
  ranBefore: boolean;
  /** Of the task that was seen last, or heard to begin or end, in this life of the daemon. */
  pid: number | undefined;
  /** A daemon that died while it restarted it has left a task that is made and not begun. */
  cutOff: boolean;
  /** Monotonic; of the task that was last seen or heard to run. */
  startedAt: number | undefined;
  heardExit: number | undefined;
  /** Since when it has no task, or one that is not started, though nobody was heard to end one. */
  idleSince: number | undefined;
  /** The last wait of the growing ones. */
  waitMs: number;
  /** When the restart that waits is due; monotonic. */
  dueAt: number | undefined;
  /** What was decided and written down for the end that is waited for. */
  paid: WaitingRestart | undefined;
  /** The task that the monitor itself deleted last, or that its shim took with it: no client has anything in mind then. */
  deletedPid: number | undefined;
  /** It was killed because it shall be stopped; when it is killed again, if need be. */
  killAgainAt: number | undefined;
  /** When something that failed is tried again. */
  retryAt: number | undefined;
  /** Restarted, stopped or cleared away just now. */
  busy: boolean;
  /** Nothing is left to do until an event tells otherwise. */
  settled: boolean;
  /** The complaint that was logged last: each is logged once. */
  complaint: string | undefined;
  timer: Disposable | undefined;
}

export function newWatched(name: ContainerName, container: Container, atStart: boolean): Watched {
  return {
    namespace: name.namespace,
    id: name.id,
    life: lifeOf(container),
    atStart,
    ranBefore: atStart,
    pid: undefined,
    cutOff: false,
    startedAt: undefined,
    heardExit: undefined,
    idleSince: undefined,
    waitMs: 0,
    dueAt: undefined,
    paid: undefined,
    deletedPid: undefined,
    killAgainAt: undefined,
    retryAt: undefined,
    busy: false,
    settled: false,
    complaint: undefined,
    timer: undefined,
  };
}

/** Two containers of one id, one after the other, were not made at the same time. */
export function lifeOf({ createdAt }: Pick<Container, "createdAt">): string {
  return `${createdAt?.seconds ?? 0n}.${createdAt?.nanos ?? 0}`;
}

/** Notes that it runs. */
export function noteRunning(watched: Watched, now: number): void {
  watched.startedAt ??= now;
  watched.ranBefore = true;
  watched.heardExit = undefined;
  watched.idleSince = undefined;
}

/** Notes that the task that ran is over: one that ran for long begins the waits anew. */
export function noteEnded(watched: Watched, now: number): void {
  if (watched.startedAt === undefined) return;
  if (wasLongLife(now - watched.startedAt)) watched.waitMs = 0;
  watched.startedAt = undefined;
  watched.paid = undefined;
  watched.dueAt = undefined;
}

/**
 * Notes an event, in the order in which they come.
 * Shape: a client that deletes a task while its restart waits has something in mind (a start of its own, a removal): the
 * restart lets it go first, for `graceMs`. What is told late, of a deletion in the daemon's last life, is of no interest.
 */
export function noteEvent(watched: Watched, told: Told, now: number, graceMs: number): void {
  if (told.what !== "deleted" && told.what !== "changed") watched.pid = told.pid;
  if (told.what === "started") {
    noteEnded(watched, now);
    watched.startedAt = now;
    noteRunning(watched, now);
  } else if (told.what === "exited") {
    noteEnded(watched, now);
    watched.heardExit = told.exitStatus;
  } else if (told.what === "lost") {
    watched.deletedPid = told.pid;
  } else if (told.what === "deleted" && told.pid === watched.pid && told.pid !== watched.deletedPid) {
    watched.idleSince = now;
    if (watched.dueAt !== undefined) watched.dueAt = Math.max(watched.dueAt, now + graceMs);
  }
}
