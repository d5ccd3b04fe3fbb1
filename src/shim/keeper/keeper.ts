import type { Logger } from "../../lib/log.ts";
import {
  closeQuietly,
  type Fd,
  type FdWatch,
  type FdWatcher,
  isErrno,
  type Kernel,
  OwnedFd,
  pollEvents,
} from "../../sys/index.ts";
import type { PidRecord } from "../state/records.ts";
import { Drawer } from "./drawer.ts";
import { FdQueue, type Slot } from "./fd-queue.ts";
import { endKeeper, findKeeper, newQueue, saveKeeper, startKeeper } from "./keeper-process.ts";
import { decodeKept, encodeKept, Kept, type KeptRecord, keptKey } from "./kept.ts";

export interface KeeperOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  /** The host's own folder. */
  readonly folder: string;
  readonly log: Logger;
}

/** What a found process had kept; the pidfd is the taker's. */
export interface TakenKept {
  readonly kept: Kept;
  readonly pidfd: Fd | undefined;
}

/** A keeper that lived shorter is replaced only this much later: what ends it may end the next one too. */
const shortLifeMs = 1000;
const lifelineBytes = Buffer.from(JSON.stringify({ lifeline: true }));

/**
 * Keeps descriptors beyond this host's life: in the queue of a socket whose both ends a tiny process holds.
 * Shape: one message a process, with its pidfd and drawers; a message that an earlier host left twice does no harm. The keeper's
 * process lives as long as its lifeline does: in this host, and in the queue while that holds anything else, so that a host that
 * is killed leaves a keeper just where there is something to keep.
 */
export class Keeper implements Disposable {
  readonly #options: KeeperOptions;
  readonly #queue: FdQueue;
  readonly #found = new Map<string, TakenKept>();
  /** What found no room. */
  readonly #unstored = new Set<Kept>();
  #living = 0;
  #process: PidRecord | undefined;
  #watch: (FdWatch & { readonly pidfd: OwnedFd }) | undefined;
  #lifeline: OwnedFd | undefined;
  /** Whether the lifeline lies in the queue, too. */
  #isAnchored = false;
  #startedAt = 0;
  #replacement: ReturnType<typeof setTimeout> | undefined;

  constructor(options: KeeperOptions) {
    const { kernel, folder, log } = options;
    this.#options = options;
    const found = findKeeper(kernel, folder);
    this.#queue = new FdQueue(kernel, found?.ends ?? newQueue(kernel));
    saveKeeper(folder, this.#queue.ends, found?.process);
    if (found === undefined) return;
    if (!this.#queue.read((bytes, fds) => this.#takeUp(bytes, fds)))
      log.error("the keeper's queue is too full to be read");
    if (this.#watchProcess(found.process)) this.#process = found.process;
  }

  /** How many messages lie in the queue, dead ones too. */
  get length(): number {
    return this.#queue.length;
  }

  /** Keeps a process's pidfd, and streams in drawers. Effects: when this returns, a death of this host loses neither. */
  keep(record: KeptRecord, pidfd: Fd | undefined, streams: ReadonlyMap<string, ReadonlyMap<string, Fd>>): Kept {
    const { kernel } = this.#options;
    const drawers = new Map(Array.from(streams, ([name, contents]) => [name, Drawer.open(kernel, contents)]));
    const kept = this.#newKept(record, pidfd, drawers);
    this.#ensureProcess();
    this.#store(kept);
    this.#anchor();
    return kept;
  }

  /** What an earlier host had kept of exactly this process. */
  take(record: KeptRecord): TakenKept | undefined {
    const found = this.#found.get(keptKey(record));
    if (found === undefined || !isSame(found.kept.record, record)) return undefined;
    this.#found.delete(keptKey(record));
    return found;
  }

  /** The process that an earlier host kept under a name, whatever its number. */
  foundRecord(name: Pick<KeptRecord, "namespace" | "id" | "execId">): KeptRecord | undefined {
    return this.#found.get(keptKey(name))?.kept.record;
  }

  /** Everything that an earlier host had kept of one task. */
  takeAll(namespace: string, id: string): TakenKept[] {
    const taken = [...this.#found.values()].filter(({ kept: { record } }) => {
      return record.namespace === namespace && record.id === id;
    });
    for (const { kept } of taken) this.#found.delete(keptKey(kept.record));
    return taken;
  }

  /**
   * Lets go of what nobody took, and makes sure that a process holds the rest. To be called once recovery is over.
   * Shape: `isMissed` names tasks whose processes may be taken later.
   */
  settle(isMissed: (record: KeptRecord) => boolean): void {
    for (const { kept, pidfd } of this.#found.values()) {
      if (isMissed(kept.record)) continue;
      this.#found.delete(keptKey(kept.record));
      if (pidfd !== undefined) closeQuietly(this.#options.kernel, pidfd);
      kept.dropAll();
    }
    this.#ensureProcess();
    this.#clearIfIdle();
  }

  /** Ends the keeper's process when nothing is kept. */
  endIdle(): void {
    const { kernel, folder } = this.#options;
    if (this.#living > 0) return;
    this.#unwatch();
    endKeeper(kernel, folder, this.#process);
    this.#process = undefined;
  }

  /** Ends the keeper when nothing is kept; else leaves it to the next host. */
  [Symbol.dispose](): void {
    this.#unwatch();
    this.endIdle();
    this.#lifeline?.[Symbol.dispose]();
    this.#queue[Symbol.dispose]();
  }

  #newKept(record: KeptRecord, pidfd: Fd | undefined, drawers: ReadonlyMap<string, Drawer>): Kept {
    this.#living++;
    const kept: Kept = new Kept({ record, pidfd, drawers, onEmpty: () => this.#emptied(kept) });
    return kept;
  }

  #emptied(kept: Kept): void {
    this.#living--;
    if (!this.#unstored.delete(kept)) this.#queue.bury();
    if (this.#clearIfIdle()) return;
    this.#queue.tidy(this.#unstored.size > 0);
    for (const waiting of this.#unstored) {
      if (!this.#queue.add(slotOf(waiting))) return;
      this.#unstored.delete(waiting);
    }
  }

  /** With nothing to keep the keeper has no life of its own. While an earlier host's queue is read nothing is known to be so. */
  #clearIfIdle(): boolean {
    if (this.#living > 0 || this.#queue.isReading) return false;
    this.#queue.clear();
    this.#isAnchored = false;
    return true;
  }

  #store(kept: Kept): void {
    if (this.#queue.add(slotOf(kept))) return;
    if (this.#unstored.size === 0) {
      const text = "no room to keep more processes: exit codes are lost if this host is killed before they end";
      this.#options.log.warn(text, { kept: this.length });
    }
    this.#unstored.add(kept);
  }

  /** Puts one message of an earlier host to the end of the queue again; marks of an interrupted reading are left out. */
  #takeUp(bytes: Buffer, fds: readonly Fd[]): void {
    const { kernel } = this.#options;
    // The last one is the living keeper's: those before it were of keepers that were killed.
    if (bytes.equals(lifelineBytes) && fds[0] !== undefined) {
      this.#holdLifeline(fds[0]);
      return this.#anchor();
    }
    const message = decodeKept(kernel, bytes, fds);
    if (message === undefined) return;
    const drawers = new Map<string, Drawer>();
    for (const [name, fd] of message.fds) if (name !== "pidfd") drawers.set(name, Drawer.found(kernel, fd));
    const pidfd = message.fds.get("pidfd");
    const kept = this.#newKept(message.record, pidfd, drawers);
    this.#store(kept);
    const key = keptKey(message.record);
    const earlier = this.#found.get(key);
    this.#found.set(key, { kept, pidfd });
    if (earlier !== undefined) this.#forgetEarlier(earlier, message.record);
  }

  /** A host that died in a tidying left a message twice; or an exec of the same name came later. */
  #forgetEarlier({ kept, pidfd }: TakenKept, later: KeptRecord): void {
    if (pidfd !== undefined) closeQuietly(this.#options.kernel, pidfd);
    if (isSame(kept.record, later)) kept.yield();
    else kept.dropAll();
  }

  #holdLifeline(fd: Fd): void {
    if (this.#lifeline !== undefined) {
      this.#lifeline[Symbol.dispose]();
      if (this.#isAnchored) this.#queue.bury();
    }
    this.#lifeline = new OwnedFd(this.#options.kernel, fd);
    this.#isAnchored = false;
  }

  /** Puts the keeper's lifeline into the queue that it holds itself, so that it lives on without us. */
  #anchor(): void {
    const lifeline = this.#lifeline;
    if (lifeline === undefined || this.#isAnchored) return;
    this.#isAnchored = this.#queue.add({
      get isDead() {
        return !lifeline.isOpen;
      },
      encode: () => ({ bytes: lifelineBytes, fds: [lifeline.fd] }),
    });
  }

  /** Starts a process for the queue when there is none; without one, everything goes on, but a death of this host loses more. */
  #ensureProcess(): void {
    if (this.#process !== undefined) return;
    const { kernel, folder, log } = this.#options;
    try {
      this.#startedAt = performance.now();
      const { process, lifeline } = startKeeper(kernel, folder, this.#queue.ends);
      this.#holdLifeline(lifeline);
      if (this.#living > 0) this.#anchor();
      saveKeeper(folder, this.#queue.ends, process);
      this.#process = process;
      this.#watchProcess(process);
    } catch (error) {
      log.warn("no keeper: exit codes and streams are lost if this host is killed", { error });
    }
  }

  /** False for one that is gone. */
  #watchProcess(process: PidRecord): boolean {
    const { kernel, watcher, log } = this.#options;
    const pidfd = openPidfd(kernel, process.pid);
    if (pidfd === undefined) return false;
    const watch = watcher.watch(pidfd.fd, pollEvents.readable, () => {
      log.warn("the keeper is gone; another one takes its place", { pid: process.pid });
      this.#unwatch();
      this.#process = undefined;
      const lived = performance.now() - this.#startedAt;
      this.#replacement = setTimeout(() => this.#ensureProcess(), lived > shortLifeMs ? 0 : shortLifeMs);
    });
    this.#watch = Object.assign(watch, { pidfd });
    return true;
  }

  #unwatch(): void {
    clearTimeout(this.#replacement);
    this.#watch?.[Symbol.dispose]();
    this.#watch?.pidfd[Symbol.dispose]();
    this.#watch = undefined;
  }
}

function openPidfd(kernel: Kernel, pid: number): OwnedFd | undefined {
  try {
    return new OwnedFd(kernel, kernel.pidfdOpen(pid));
  } catch (error) {
    // It ended with the host before, and was seen just before that.
    if (isErrno(error, "ESRCH")) return undefined;
    throw error;
  }
}

function slotOf(kept: Kept): Slot {
  return {
    get isDead() {
      return kept.isEmpty;
    },
    encode: () => encodeKept(kept),
  };
}

function isSame(one: KeptRecord, other: KeptRecord): boolean {
  return one.pid === other.pid && one.startTime === other.startTime;
}
