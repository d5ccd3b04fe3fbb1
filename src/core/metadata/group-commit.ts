import type { Database } from "bun:sqlite";
import { fault, messageOf, quote, unavailable } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { LogCheckpoint } from "./log-checkpoint.ts";
import type { MutationWatcher, Transaction, UpdateOptions } from "./metadata.ts";
import { isStorageError, storageFault } from "./sqlite-faults.ts";
import type { WalSync } from "./wal-sync.ts";

/** How long mutations of one transaction may take before the rest waits for the next turn of the loop. */
const defaultTurnMs = 0.8;
/** How long a commit that nobody waits for may stay in memory, unless another one takes it along to the disk. */
const lazyMs = 25;
/** How long mutations of one transaction may take that nobody waits for. */
const unhurriedTurnMs = 0.2;
/** So many commits that nobody waits for, each so soon after the one before, are a long piece of work: a collection. */
const workCommits = 4;
const defaultWorkMs = 250;
/** How long work that no caller waits for lets calls go first. */
const patienceMs = 25;
/** How long nobody must have wanted anything before the log is emptied for its own sake. */
const quietMs = 20;
/** The most mutations that may wait. Callers are bounded by the server's streams long before. */
const maxWaiting = 65536;

interface Mutation {
  readonly background: boolean;
  readonly action: (tx: Transaction) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A mutation that ran in its savepoint. */
interface Done {
  readonly mutation: Mutation;
  readonly value: unknown;
  readonly after: readonly (() => void)[];
  readonly noted: Noted;
}

/** What a mutation told those who watch. */
interface Noted {
  any: boolean;
  released: boolean;
}

const nothing: Noted = { any: false, released: false };

export interface GroupCommitOptions {
  readonly db: Database;
  readonly path: string;
  readonly sync: WalSync;
  readonly checkpoint: LogCheckpoint;
  readonly log: Logger;
  readonly turnMs?: number | undefined;
  readonly workMs?: number | undefined;
}

/**
 * Runs mutations one after the other, commits those of one turn of the loop as one transaction, and tells their callers when
 * the log is on the disk. While the disk works, further transactions commit; the next sync covers them all.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #waiting: Mutation[] = [];
  /** Those that no caller waits for; they go when no other does, or when the first of them has been here for long. */
  #unhurried: Mutation[] = [];
  #unhurriedSince = 0;
  /** When such were last committed, and how many in a row. */
  #workedAt = Number.NEGATIVE_INFINITY;
  #work = 0;
  #committed: Done[] = [];
  #scheduled = false;
  #syncing: Promise<void> | undefined;
  #refusal: Error | undefined;
  #lazy: ReturnType<typeof setTimeout> | undefined;
  /** While it runs, nothing commits. */
  #emptying: Promise<void> | undefined;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  readonly #watchers = new Set<MutationWatcher>();

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  watch(watcher: MutationWatcher): Disposable {
    this.#watchers.add(watcher);
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) };
  }

  add<T>(action: (tx: Transaction) => T, { background = false }: UpdateOptions = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#refusal !== undefined) return reject(this.#refusal);
      if (this.#waiting.length + this.#unhurried.length >= maxWaiting) {
        return reject(fault("resourceExhausted", `${maxWaiting} metadata mutations wait already`));
      }
      const mutation = { background, action, resolve: resolve as (value: unknown) => void, reject };
      if (!background) this.#waiting.push(mutation);
      else if (this.#unhurried.push(mutation) === 1) this.#unhurriedSince = performance.now();
      this.#schedule();
    });
  }

  /** Commits what waits, makes it durable, and refuses what comes after. */
  async close(): Promise<void> {
    this.#refusal ??= unavailable(`metadata database ${quote(this.#options.path)} is closed`);
    clearTimeout(this.#quiet);
    await this.#emptying;
    while (this.#anyWaits) this.#turn();
    await this.#allDurable();
  }

  #schedule(): void {
    if (this.#scheduled || this.#emptying !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn();
      if (this.#anyWaits) this.#schedule();
    });
  }

  /** How many mutations wait for their transaction. */
  get waiting(): number {
    return this.#waiting.length + this.#unhurried.length;
  }

  get #anyWaits(): boolean {
    return this.waiting > 0;
  }

  #turn(): void {
    if (!this.#anyWaits || this.#emptying !== undefined) return;
    const done: Done[] = [];
    const { db } = this.#options;
    try {
      db.query("BEGIN IMMEDIATE").run();
      for (const mutation of this.#takeTurn()) this.#apply(mutation, done);
      db.query("COMMIT").run();
    } catch (error) {
      this.#rollback(done, error);
      return;
    }
    this.#committed.push(...done);
    if (done.some((one) => one.mutation.background)) this.#noteWork();
    this.#makeDurable();
    this.#tendLog();
  }

  /** Has the log emptied: at once when it is long, else as soon as nobody wants anything. */
  #tendLog(): void {
    const urgency = this.#refusal === undefined ? this.#options.checkpoint.urgency() : "none";
    clearTimeout(this.#quiet);
    this.#quiet = undefined;
    if (urgency === "now") this.#emptyLog();
    else if (urgency === "quiet") {
      this.#quiet = setTimeout(() => this.#emptyLog(), quietMs);
      this.#quiet.unref();
    }
  }

  #emptyLog(): void {
    clearTimeout(this.#quiet);
    this.#quiet = undefined;
    const emptying = async (): Promise<void> => {
      await this.#allDurable();
      if (this.#refusal === undefined) await this.#options.checkpoint.run();
    };
    this.#emptying = emptying()
      .catch((error: unknown) => this.#fail([], error))
      .finally(() => {
        this.#emptying = undefined;
        if (this.#anyWaits) this.#schedule();
      });
  }

  async #allDurable(): Promise<void> {
    while (this.#committed.length > 0 || this.#syncing !== undefined) {
      this.#makeDurable(true);
      await this.#syncing;
    }
  }

  /** Either those of calls or those that no caller waits for: a call does not wait for the other sort's time. */
  *#takeTurn(): Generator<Mutation> {
    const { turnMs = defaultTurnMs } = this.#options;
    const now = performance.now();
    const patient = this.#waiting.length > 0 && now - this.#unhurriedSince < patienceMs;
    const unhurried = this.#unhurried.length > 0 && !patient;
    const waiting = unhurried ? this.#unhurried : this.#waiting;
    if (unhurried) [this.#unhurried, this.#unhurriedSince] = [[], now];
    else this.#waiting = [];
    let taken = 0;
    try {
      for (const mutation of waiting) {
        taken += 1;
        yield mutation;
        if (performance.now() - now > (unhurried ? Math.min(turnMs, unhurriedTurnMs) : turnMs)) break;
      }
    } finally {
      const left = waiting.slice(taken);
      if (unhurried) this.#unhurried = [...left, ...this.#unhurried];
      else this.#waiting = [...left, ...this.#waiting];
    }
  }

  /** Errors: only what ended the whole transaction; a mutation's own failure goes to its caller. */
  #apply(mutation: Mutation, done: Done[]): void {
    const { db, path } = this.#options;
    const after: (() => void)[] = [];
    const noted: Noted = { ...nothing };
    db.query("SAVEPOINT mutation").run();
    let value: unknown;
    try {
      value = mutation.action(this.#transaction(after, noted));
      if (value instanceof Promise) throw new TypeError("a metadata mutation must not be asynchronous");
    } catch (error) {
      if (!db.inTransaction) {
        done.push({ mutation, value: undefined, after: [], noted: nothing });
        throw error;
      }
      db.query("ROLLBACK TO mutation").run();
      db.query("RELEASE mutation").run();
      mutation.reject(storageFault(path, "write to", error));
      return;
    }
    db.query("RELEASE mutation").run();
    done.push({ mutation, value, after, noted });
  }

  #transaction(after: (() => void)[], noted: Noted): Transaction {
    return {
      db: this.#options.db,
      afterCommit: (action) => void after.push(action),
      touch: (kind, namespace, key) => {
        noted.any = true;
        for (const watcher of this.#watchers) watcher.touched?.(kind, namespace, key);
      },
      release: () => {
        noted.any = true;
        noted.released = true;
      },
    };
  }

  #rollback(done: readonly Done[], error: unknown): void {
    const { db, path, log } = this.#options;
    if (db.inTransaction) db.run("ROLLBACK");
    const reason = storageFault(path, "commit to", error);
    if (isStorageError(error)) log.error("metadata transaction failed", { error: reason, mutations: done.length });
    for (const { mutation } of done) mutation.reject(reason);
    // BEGIN itself failed: those that wait learn of it too, rather than be tried for ever.
    if (done.length === 0) for (const mutation of this.#takeAll()) mutation.reject(reason);
  }

  #makeDurable(now = false): void {
    if (this.#syncing !== undefined || this.#committed.length === 0) return;
    const inBackground = this.#committed.every((done) => done.mutation.background);
    if (inBackground && !now) {
      this.#lazy ??= setTimeout(() => this.#makeDurable(true), lazyMs);
      return;
    }
    clearTimeout(this.#lazy);
    this.#lazy = undefined;
    if (inBackground || this.#isWorking() || !this.#options.sync.quick) {
      this.#syncing = this.#syncInPool();
      return;
    }
    const batch = this.#committed.splice(0);
    try {
      this.#options.sync.now();
    } catch (error) {
      this.#fail(batch, error);
      return;
    }
    this.#settle(batch);
  }

  #noteWork(): void {
    const now = performance.now();
    this.#work = this.#isRecent(now) ? this.#work + 1 : 1;
    this.#workedAt = now;
  }

  /** Whether a collection is under way: a sync with its pages, and beside its removals, would keep the loop for long. */
  #isWorking(): boolean {
    return this.#work >= workCommits && this.#isRecent(performance.now());
  }

  #isRecent(now: number): boolean {
    return now - this.#workedAt < (this.#options.workMs ?? defaultWorkMs);
  }

  async #syncInPool(): Promise<void> {
    const batch = this.#committed.splice(0);
    try {
      await this.#options.sync.later();
      this.#settle(batch);
    } catch (error) {
      this.#fail(batch, error);
    }
    this.#syncing = undefined;
    this.#makeDurable();
  }

  #settle(batch: readonly Done[]): void {
    for (const { after } of batch) for (const action of after) this.#runAfter(action);
    for (const { mutation, value, noted } of batch) {
      if (noted.any && !mutation.background) this.#tellCommitted(noted.released);
      mutation.resolve(value);
    }
  }

  #tellCommitted(released: boolean): void {
    for (const watcher of this.#watchers) this.#runAfter(() => watcher.committed?.(released));
  }

  #runAfter(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.log.error("action after a metadata commit failed", { error });
    }
  }

  /** After a failed fsync the kernel may have dropped what it could not write: only a restart finds out what is there. */
  #fail(batch: readonly Done[], error: unknown): void {
    const { path, log } = this.#options;
    const reason = unavailable(
      `sync metadata database ${quote(path)}: ${messageOf(error)}; check the disk and restart the daemon`,
      { cause: error },
    );
    this.#refusal ??= reason;
    log.error("metadata log cannot be made durable", { error: reason });
    for (const { mutation } of [...batch, ...this.#committed.splice(0)]) mutation.reject(reason);
    for (const mutation of this.#takeAll()) mutation.reject(reason);
  }

  #takeAll(): readonly Mutation[] {
    return [...this.#waiting.splice(0), ...this.#unhurried.splice(0)];
  }
}
