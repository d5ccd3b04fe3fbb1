import { FaultError, messageOf } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import type { DaemonUpgrades } from "../plugin/index.ts";
import type { Successor } from "./successor.ts";

/** Where upgrades are asked for, by a signal or a call, and handed to the daemon's life one by one. */
export class UpgradeDesk implements DaemonUpgrades {
  readonly #start: (path: string) => Promise<Successor>;
  readonly #log: Logger;
  #next = Promise.withResolvers<Successor>();
  #busy = false;
  #failure = "";

  constructor(start: (path: string) => Promise<Successor>, log: Logger) {
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
    this.#busy = true;
    this.#failure = "";
    try {
      const successor = await this.#start(path);
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

  #fail(reason: string): void {
    this.#busy = false;
    this.#failure = reason;
    this.#log.error("the upgrade failed; this daemon goes on", { error: reason });
  }
}
