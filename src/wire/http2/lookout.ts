import { availableParallelism } from "node:os";
import { type Kernel, SysError } from "../../sys/index.ts";

/** A connection as the lookout sees it. */
export interface Watched {
  /** Its socket's descriptor; undefined once it is closed. */
  readonly fd: number | undefined;
  /** No call that came with the last bytes is unanswered, and no answer waits. */
  readonly idle: boolean;
  /** Takes bytes; true when nobody needs their memory any more. */
  receive(bytes: Buffer): boolean;
}

export interface LookoutOptions {
  /** Takes what waits in a socket, without waiting for any: undefined while there is nothing, 0 at its end. */
  readonly receive: (fd: number, into: Uint8Array) => number | undefined;
  /** Lets the client run, where it waits for our processor. */
  readonly yield: () => void;
  /** In milliseconds. */
  readonly now?: () => number;
  /** Runs what is due, microtasks too, before the lookout goes on. */
  readonly defer?: (look: () => void) => void;
}

/** A call that comes so soon after the last answer was made by somebody who waited for it. */
const promptMs = 0.2;
/** So many calls, each right after the answer to the one before, are a client that calls in a loop. */
const streakOfLoop = 8;
/** With more at once client and loop are both busy, and what comes is better read together. */
const callsOfLoop = 16;
/** After a call that did not come in time so many are not looked out for; each time twice as many, up to the last. */
const [pauseAtFirst, longestPause] = [24, 4096];
/** So many calls that came in time, one after the other, make up for all that did not. */
const catchesOfTrust = 64;
/** The longest that a call is waited for. */
const lookMs = 0.1;
/** The longest that the event loop is kept waiting, all calls together; the last of them may take its own time beyond. */
const turnMs = 0.5;
const bufferBytes = 16 * 1024;

/** A server's lookout; undefined on a single processor, where waiting keeps the client from making its call. */
export function createLookout(kernel: Pick<Kernel, "receiveNow" | "yieldProcessor">): Lookout | undefined {
  if (availableParallelism() < 2) return undefined;
  return new Lookout({
    yield: () => kernel.yieldProcessor(),
    receive: (fd, into) => {
      try {
        return kernel.receiveNow(fd, into);
      } catch (error) {
        // The connection broke, which the event loop tells.
        if (error instanceof SysError) return 0;
        throw error;
      }
    },
  });
}

/**
 * Looks out for the next call of a client that calls in a tight loop, before the event loop is gone back to: going to sleep,
 * waking up and the way through the loop take several times as long as the call itself.
 * Shape: one for all connections of a server. It looks at one socket, of the only client that was heard lately, for a tenth of a
 * millisecond at most, while none of the calls that just came is unanswered and no answer waits for its socket.
 * Invariant: what else the loop has to do waits for half a millisecond and one call's work.
 * Source: docs/adr/0015-lookout.md.
 */
export class Lookout {
  readonly #receive: LookoutOptions["receive"];
  readonly #yield: () => void;
  readonly #now: () => number;
  readonly #defer: (look: () => void) => void;
  #buffer: Buffer | undefined;
  #connection: Watched | undefined;
  #streak = 0;
  #catches = 0;
  #pause = pauseAtFirst;
  #answeredAt = 0;
  #turnBegan = 0;
  #looks = false;

  constructor(options: LookoutOptions) {
    this.#receive = options.receive;
    this.#yield = options.yield;
    this.#now = options.now ?? (() => performance.now());
    this.#defer = options.defer ?? ((look) => process.nextTick(look));
  }

  /** The event loop brings bytes of a connection, which has not been given them yet. */
  heard(connection: Watched): void {
    const now = this.#now();
    this.#turnBegan = now;
    if (connection !== this.#connection) {
      this.#connection = connection;
      this.#streak = 0;
    } else if (now - this.#answeredAt > promptMs) {
      this.#streak = Math.min(this.#streak, 0);
    }
  }

  /** All calls that came with the connection's last bytes, so many, are answered, and the socket has taken the answers. */
  answered(connection: Watched, calls: number): void {
    if (connection !== this.#connection) return;
    this.#answeredAt = this.#now();
    if (calls > callsOfLoop) this.#streak = Math.min(this.#streak, 0);
    else this.#streak++;
    if (this.#streak < streakOfLoop || this.#looks || this.#answeredAt - this.#turnBegan > turnMs) return;
    this.#looks = true;
    this.#defer(this.#look);
  }

  /** A connection is gone. */
  forget(connection: Watched): void {
    if (connection === this.#connection) this.#connection = undefined;
  }

  readonly #look = (): void => {
    this.#looks = false;
    const connection = this.#connection;
    if (connection === undefined || !connection.idle) return;
    const from = this.#now();
    this.#buffer ??= Buffer.allocUnsafeSlow(bufferBytes);
    const count = this.#await(connection, Math.min(from + lookMs, this.#turnBegan + turnMs));
    this.#learn(count !== undefined, this.#now() - from);
    // 0 is the end of the peer's side, which is the loop's to tell.
    if (count !== undefined && count > 0) this.#give(connection, this.#buffer, count);
  };

  /** What took long is no catch either: whoever was let run kept the processor, which many want. */
  #learn(caught: boolean, tookMs: number): void {
    if (tookMs >= lookMs) {
      this.#catches = 0;
      this.#streak = -this.#pause;
      this.#pause = Math.min(this.#pause * 2, longestPause);
    } else if (caught && ++this.#catches >= catchesOfTrust) {
      this.#pause = pauseAtFirst;
    }
  }

  #await(connection: Watched, until: number): number | undefined {
    const { fd } = connection;
    if (fd === undefined) return undefined;
    for (;;) {
      const count = this.#receive(fd, this.#buffer!);
      if (count !== undefined || this.#now() >= until) return count;
      this.#yield();
    }
  }

  #give(connection: Watched, buffer: Buffer, count: number): void {
    if (!connection.receive(buffer.subarray(0, count))) this.#buffer = undefined;
  }
}
