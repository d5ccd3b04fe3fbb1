import { FaultError, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { DaemonUpgrades } from "../../plugin/index.ts";
import type { Successor } from "./successor.ts";

/** Starts a program that is ready to take over; the signal ends one that is not ready yet. */
type StartSuccessor = (path: string, stop: AbortSignal) => Promise<Successor>;

/** Where upgrades are asked for, by a signal or a call, and handed to the daemon's life one by one. Disposing ends whoever has not come. */
export class UpgradeDesk implements DaemonUpgrades, AsyncDisposable {
  readonly #start: StartSuccessor;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  #starting: Promise<Successor> | undefined;
  #next = Promise.withResolvers<Successor>();
  #busy = false;
  #failure = "";

  constructor(start: StartSuccessor, log: Logger) {
    this.#start = start;
    this.#log = log;
  }

  get underWay(): boolean {
    return this.#busy;
  }

  get failure(): string {
    return this.#failure;
  }

  async begin(path: string): Promise<number> {
    if (this.#busy) throw new FaultError("failedPrecondition", "an upgrade is under way already");
    if (this.#stop.signal.aborted) throw new FaultError("failedPrecondition", "the daemon stops");
    this.#busy = true;
    this.#failure = "";
    try {
      this.#starting = this.#start(path, this.#stop.signal);
      const successor = await this.#starting;
      this.#next.resolve(successor);
      return successor.pid;
    } catch (error) {
      this.#fail(messageOf(error));
      throw error;
    }
  }

  /** The next program that is ready to take over. */
  get next(): Promise<Successor> {
    return this.#next.promise;
  }

  /** The one that was handed out did not come: another may be asked for. */
  failed(reason: string): void {
    this.#next = Promise.withResolvers<Successor>();
    this.#fail(reason);
  }

  /** The daemon is to end: so does a program that is on the way to its place, which would take it for dead and go on. */
  stop(): void {
    this.#stop.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    // Whoever asked for one that failed has been told why.
    const successor = await this.#starting?.catch(() => undefined);
    await successor?.[Symbol.asyncDispose]();
  }

  #fail(reason: string): void {
    this.#busy = false;
    this.#failure = reason;
    this.#log.error("the upgrade failed; this daemon goes on", { error: reason });
  }
}
