import { isFault, messageOf, unavailable } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { HostFiles } from "../shims/index.ts";
import type { Bundles } from "./bundles.ts";
import type { HostConnection, SharedHost } from "./host/host.ts";
import type { OwnShims } from "./own-shims.ts";
import { pause } from "./pause.ts";
import type { Reconciler } from "./reconciler.ts";

/** Between two tries when no host answers; each try is a round of tries of its own. */
const pauseMs = 1_000;

export interface RecoveryOptions {
  readonly bundles: Bundles;
  readonly hostFiles: Pick<HostFiles, "open">;
  readonly host: SharedHost;
  readonly reconciler: Reconciler;
  /** Tasks with shims of their own, which come before the host's. */
  readonly ownShims: Pick<OwnShims, "load" | "has">;
  readonly log: Logger;
  readonly closing: AbortSignal;
}

/** Takes over the tasks of the daemon's last life, and says when they are known. */
export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #reconciled = new WeakMap<HostConnection, Promise<void>>();
  readonly #firstTry = Promise.withResolvers<void>();
  /** Host and disk were compared. */
  #settled = false;
  /** And what no task owns is gone: before that, a new task's folder would go with it. */
  #swept = false;
  #trouble = "no shim host answers";

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** True when the tasks of the last life are known, or there were none. Until then "not found" would be a lie. */
  get settled(): boolean {
    return this.#swept;
  }

  /** Why the last try failed. */
  get trouble(): string {
    return this.#trouble;
  }

  /** Settles when the first try is over, whether it came to an end or not. Never rejects. */
  get firstTry(): Promise<void> {
    return this.#firstTry.promise;
  }

  /** Compares notes with a host that was just reached: at the start, and after each death of one. Never rejects. */
  reconcile(connection: HostConnection): Promise<void> {
    const work = this.#options.reconciler.run(connection).then(
      () => {
        this.#settled = true;
      },
      (error: unknown) => this.#options.log.warn("compare tasks with the shim host", { error }),
    );
    this.#reconciled.set(connection, work);
    return work;
  }

  /** Tries until the tasks are known or the daemon ends. Never rejects. */
  async run(): Promise<void> {
    const { closing, log, ownShims, reconciler } = this.#options;
    await ownShims.load();
    while (!this.#swept && !closing.aborted) {
      await this.#try().catch((error: unknown) => {
        this.#trouble = messageOf(error);
        if (!closing.aborted) log.error("take over the tasks of the last life", { error: messageOf(error) });
      });
      if (this.#settled) {
        await reconciler.sweep().catch((error: unknown) => log.error("clear away folders of past tasks", { error }));
        this.#swept = true;
      }
      this.#firstTry.resolve();
      if (!this.#swept) await pause(pauseMs, closing);
    }
    this.#firstTry.resolve();
  }

  async #try(): Promise<void> {
    // A host that somebody's need brought up was asked already.
    if (this.#settled) return;
    const { bundles, host, hostFiles, ownShims } = this.#options;
    const found = (await bundles.scan()).filter((bundle) => !ownShims.has(bundle));
    // From the start on, so that who counts the daemon's descriptors finds none that a task brought.
    const opening = hostFiles.open();
    if (found.length > 0) await opening;
    // One that is dying may still take a connection and not answer. One that hangs would not answer the next time either.
    const running = await host.existing().catch((error: unknown) => {
      if (found.length > 0 && isFault(error, "deadlineExceeded")) throw error;
      return undefined;
    });
    if (running === undefined && found.length === 0) {
      this.#settled = true;
      host.clearAway();
      return;
    }
    const first = running ?? (await host.connection());
    await this.#reconciled.get(first);
    if (this.#settled) return;
    // It died in between, and another one is made at once; or it lives, and is asked again.
    const next = await host.connection();
    await (next === first ? this.reconcile(next) : this.#reconciled.get(next));
    if (!this.#settled) throw unavailable("the shim host did not tell what it has");
  }
}
