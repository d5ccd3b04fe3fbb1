import { fault, unavailable } from "../../../lib/faults.ts";
import type { Logger } from "../../../lib/log.ts";

/** How long a call takes before the host is asked whether it is there at all; less than a state may take. */
const patienceMs = 1_500;
/** How long that answer may take: it costs the host nothing. */
const answerLimitMs = 5_000;
/** Calls that a host that is silent may answer later; clients that try again and again are refused beyond these. */
const waitingMax = 256;

export interface CallWatchOptions {
  readonly pid: number;
  /** Asks what costs the host nothing. Rejects when the connection is gone. */
  readonly ping: () => Promise<unknown>;
  readonly log: Logger;
  readonly patienceMs?: number;
  readonly answerLimitMs?: number;
}

interface Silence {
  /** When the question was put that got no answer. */
  readonly since: number;
  /** Settles when the host answers again or is gone. */
  readonly over: Promise<void>;
}

/** Lets calls to the host through while it answers, and keeps them back, so many and no more, while it does not. */
export class CallWatch {
  readonly #options: CallWatchOptions;
  #isAsking = false;
  #silence: Silence | undefined;
  #waiting = 0;

  /** How many calls wait for a host that is silent. */
  get waiting(): number {
    return this.#waiting;
  }

  constructor(options: CallWatchOptions) {
    this.#options = options;
  }

  /**
   * Makes a call, as soon as the host is one that answers. It may take its time then: the host is asked whether it lives.
   * Shape: `timeoutMs` is the call's own limit, for which it waits at most here; 0 is none.
   * Errors: the call's; unavailable when too many wait already; deadlineExceeded.
   */
  async run<T>(call: () => Promise<T>, timeoutMs = 0): Promise<T> {
    if (this.#silence !== undefined) await this.#untilOver(this.#silence, timeoutMs);
    const timer = setInterval(() => void this.#ask(), this.#options.patienceMs ?? patienceMs);
    try {
      return await call();
    } finally {
      clearInterval(timer);
    }
  }

  /** What has a limit of its own needs no other: it is gone soon. */
  async #untilOver({ since, over }: Silence, timeoutMs: number): Promise<void> {
    const { pid } = this.#options;
    if (timeoutMs > 0) return withinTime(over, timeoutMs, `the shim host (pid ${pid}) does not answer`);
    if (this.#waiting >= waitingMax) {
      const seconds = Math.round((performance.now() - since) / 1000);
      throw unavailable(
        `the shim host (pid ${pid}) has not answered for ${seconds} s and ${waitingMax} calls wait for it; ${adviceFor(pid)}`,
      );
    }
    this.#waiting += 1;
    try {
      await over;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const { pid, log, ping } = this.#options;
    const since = performance.now();
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#silence = { since, over };
      log.error(`the shim host does not answer; its containers go on; ${adviceFor(pid)}`, { pid });
    }, this.#options.answerLimitMs ?? answerLimitMs);
    const answers = await ping().then(
      () => true,
      () => false, // gone, which others see and tell
    );
    clearTimeout(timer);
    if (this.#silence !== undefined && answers) {
      log.info("the shim host answers again", { pid, seconds: Math.round((performance.now() - since) / 1000) });
    }
    this.#silence = undefined;
    this.#isAsking = false;
    resolve();
  }
}

/** What to do about a host that is alive and silent. It is never ended by us: it might only be slow. */
export function adviceFor(pid: number): string {
  return `see what holds it in /proc/${pid}/stack and in its log; if it stays so, kill -9 ${pid}: another host takes over its tasks and loses nothing`;
}

async function withinTime(over: Promise<void>, timeoutMs: number, late: string): Promise<void> {
  const { promise, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(fault("deadlineExceeded", late)), timeoutMs);
  try {
    await Promise.race([over, promise]);
  } finally {
    clearTimeout(timer);
  }
}
