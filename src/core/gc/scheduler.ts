/** Settings of the scheduler, by containerd's names and meaning. */
export interface ScheduleConfig {
  /** Which part of time collections may take, at most 0.5. */
  readonly pauseThreshold: number;
  /** How many deletions bring a collection at once; 0: none do, but the next one is scheduled. */
  readonly deletionThreshold: number;
  readonly mutationThreshold: number;
  readonly scheduleDelayMs: number;
  readonly startupDelayMs: number;
}

/** What the scheduler needs of time; tests pass their own. */
export interface Timers {
  now(): number;
  /** Runs an action later, unless disposed of before. */
  after(ms: number, action: () => void): Disposable;
}

export interface SchedulerOptions<T> {
  readonly config: ScheduleConfig;
  readonly timers: Timers;
  /** Collects, and says for how long it kept the loop. */
  readonly collect: () => Promise<{ readonly busyMs: number; readonly result: T }>;
  readonly failed: (error: unknown) => void;
}

/** Below this a collection counts as that long, so that intervals don't shrink to nothing. Source: plugins/gc/scheduler.go. */
const leastBusyMs = 5;
const retryMs = 1000;

/**
 * Decides when to collect: once after start-up, when asked, after enough deletions or mutations, and never for more than a
 * part of time. Its rules are those of containerd's scheduler, with the time that the loop was kept in place of the pause.
 * Source: containerd plugins/gc/scheduler.go.
 */
export class CollectionScheduler<T> implements AsyncDisposable {
  readonly #options: SchedulerOptions<T>;
  #config: ScheduleConfig;
  #waiters: PromiseWithResolvers<T>[] = [];
  #timer: Disposable | undefined;
  #dueAt: number | undefined;
  #collectedAt: number | undefined;
  #intervalMs = 1000;
  #busySumMs = 0;
  #collections = 0;
  #triggered = false;
  #deletions = 0;
  #mutations = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: SchedulerOptions<T>) {
    this.#options = options;
    this.#config = options.config;
    const { startupDelayMs } = options.config;
    if (startupDelayMs > 0) this.#schedule(startupDelayMs);
  }

  /** True while somebody waits for a collection. */
  get isAwaited(): boolean {
    return this.#awaited > 0 || this.#waiters.length > 0;
  }
  #awaited = 0;

  /** Waits for the first collection that begins from now on. Errors: what it failed with. */
  collect(): Promise<T> {
    const waiter = Promise.withResolvers<T>();
    if (this.#closed) waiter.reject(new Error("garbage collection is stopped"));
    else this.#waiters.push(waiter);
    this.#triggered = true;
    this.#consider();
    return waiter.promise;
  }

  /** Notes a mutation; `released`: something may have become garbage by it. */
  note(released: boolean): void {
    if (released) this.#deletions++;
    this.#mutations++;
    this.#consider();
  }

  /** Goes on by other settings. What was noted counts by them at once; the delay after start-up has passed. */
  reconfigure(config: ScheduleConfig): void {
    this.#config = config;
    this.#consider();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#running;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error("garbage collection is stopped"));
  }

  /** Schedules a collection, or brings one forward, when what was noted asks for it. */
  #consider(): void {
    if (this.#running !== undefined || this.#closed) return;
    const { deletionThreshold, scheduleDelayMs } = this.#config;
    const enough = deletionThreshold > 0 && this.#deletions >= deletionThreshold;
    const idle = this.#dueAt === undefined && ((deletionThreshold === 0 && this.#deletions > 0) || this.#muchChanged());
    if (!this.#triggered && !enough && !idle) return;
    if (this.#dueAt === undefined || this.#dueAt > this.#options.timers.now() + scheduleDelayMs) {
      this.#schedule(scheduleDelayMs);
    }
  }

  #muchChanged(): boolean {
    const { mutationThreshold } = this.#config;
    return mutationThreshold > 0 && this.#mutations >= mutationThreshold;
  }

  #schedule(ms: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#dueAt = this.#options.timers.now() + ms;
    this.#timer = this.#options.timers.after(ms, () => this.#due());
  }

  #due(): void {
    if (this.#closed || this.#running !== undefined) return;
    const needless =
      !this.#triggered && this.#collectedAt !== undefined && this.#deletions === 0 && !this.#muchChanged();
    if (needless) {
      // Nothing to do: the next mutation schedules, rather than a timer that wakes an idle daemon over and over.
      this.#dueAt = undefined;
      return;
    }
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#consider();
    });
  }

  async #run(): Promise<void> {
    const { timers } = this.#options;
    const waiters = this.#waiters.splice(0);
    const before = { deletions: this.#deletions, mutations: this.#mutations };
    // What is noted from now on may be missed by this collection: it counts for the next.
    this.#triggered = false;
    this.#deletions = 0;
    this.#mutations = 0;
    this.#awaited = waiters.length;
    try {
      const { busyMs, result } = await this.#options.collect();
      this.#busySumMs += busyMs;
      this.#collections++;
      if (this.#config.pauseThreshold > 0) this.#intervalMs = this.#restMs();
      for (const waiter of waiters) waiter.resolve(result);
      this.#schedule(this.#intervalMs);
    } catch (error) {
      this.#deletions += before.deletions;
      this.#mutations += before.mutations;
      this.#options.failed(error);
      for (const waiter of waiters) waiter.reject(error);
      this.#schedule(
        this.#collectedAt === undefined ? Math.max(this.#config.scheduleDelayMs, retryMs) : this.#intervalMs + retryMs,
      );
    } finally {
      this.#awaited = 0;
      this.#collectedAt = timers.now();
    }
  }

  /** As long as lets collections take no more than their part of time. */
  #restMs(): number {
    const average = Math.max(this.#busySumMs / this.#collections, leastBusyMs);
    return average / this.#config.pauseThreshold - average;
  }
}
