import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Any } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../../lib/clock.ts";
import { isFault, messageOf, notFound, wrapFault } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { TimeLimits } from "../../plugin/index.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { connectShim, type OpenedShim } from "./connect-shim.ts";
import type { OwnShim, Shim, ShimEnd, ShimEndpoint } from "./shim.ts";
import { readBootstrap, writeBootstrap } from "./shim-files.ts";
import type { ShimIdentity, ShimProgram } from "./shim-program.ts";

/** How long an ending daemon waits for a shim that is just being started, or answers its first call. */
const closingGraceMs = 1_000;

/** What is said of an end of which nothing is known. Source: containerd core/runtime/v2/shim.go, cleanupAfterDeadShim. */
const unknownExitStatus = 255;

export interface ProcessShimOptions extends ShimIdentity {
  /** Undefined for one that runs in a sandbox's shim: that is neither started nor cleaned up from here. */
  readonly program: ShimProgram | undefined;
  readonly options: Any | undefined;
  /** Whether it is started when its bundle knows of none yet. */
  readonly mayStart: boolean;
  /** Puts into the bundle whose it is, before there is anything to find again. */
  readonly prepare: () => Promise<void>;
  /** Called once, when nothing more comes of it. */
  readonly onGone: () => void;
  /** Reads the shim's log from the bundle, until disposed. */
  readonly readLog: () => Disposable;
  /** Fires when the daemon ends: shims live on. */
  readonly closing: AbortSignal;
  readonly timeouts: Pick<TimeLimits, "shimLoadMs" | "shimShutdownMs">;
  readonly log: Logger;
}

/**
 * A shim process of somebody else's, by its bundle: started the first time, reached again when a bundle of an earlier life
 * has one. When its connection is lost it is dead, and its program's `delete` cleans up.
 */
export class ProcessShim implements Shim, OwnShim {
  readonly own: OwnShim = this;
  readonly ended: Promise<ShimEnd>;
  readonly #options: ProcessShimOptions;
  readonly #die: (end: ShimEnd) => void;
  #opening: Promise<OpenedShim> | undefined;
  #endpoint: ShimEndpoint | undefined;
  #log: Disposable | undefined;
  #released = false;
  #dead = false;

  constructor(options: ProcessShimOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<ShimEnd>();
    this.ended = promise;
    this.#die = resolve;
  }

  get endpoint(): ShimEndpoint | undefined {
    return this.#endpoint;
  }

  async connection(): Promise<OpenedShim> {
    this.#opening ??= this.#open();
    const connection = await this.#opening;
    if (!connection.lost || this.#released) return connection;
    await this.ended;
    throw notFound(`shim of ${this.#options.id}`);
  }

  async release(): Promise<void> {
    // A dead one was cleaned up, or is just being.
    if (this.#dead) await this.ended;
    if (this.#released || this.#dead) return;
    this.#released = true;
    const { id, namespace, timeouts, log } = this.#options;
    const connection = await this.#opening?.catch(() => undefined);
    if (connection === undefined) return;
    if (!connection.lost) {
      const call = { namespace, timeoutMs: timeouts.shimShutdownMs };
      await connection.task.shutdown({ id }, call).catch((error: unknown) => {
        // Most shims end before they answer.
        if (!isFault(error, "unavailable"))
          log.warn("failed to shutdown shim task and the shim might be leaked", { error });
      });
    }
    await connection[Symbol.asyncDispose]();
    await this.#cleanUp();
  }

  /** Lets go of the shim, which lives on: the daemon ends. One that is still starting is the next daemon's to find. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#released = true;
    this.#closeLog();
    const opened = this.#opening?.catch(() => undefined);
    const connection = await Promise.race([opened, Bun.sleep(closingGraceMs)]);
    if (connection !== undefined) await connection[Symbol.asyncDispose]();
  }

  async #open(): Promise<OpenedShim> {
    const { bundle, mayStart, prepare, program } = this.#options;
    await prepare();
    const known = await readBootstrap(bundle);
    return known === undefined && mayStart && program !== undefined ? this.#start(program) : this.#reopen(known);
  }

  async #start(program: ShimProgram): Promise<OpenedShim> {
    const { bundle, options } = this.#options;
    // Checkpoints leave their notes there. Source: containerd core/runtime/v2/bundle.go, NewBundle.
    await mkdir(join(bundle, "work"), { recursive: true, mode: 0o711 });
    this.#openLog();
    try {
      const bootstrap = await program.start(this.#options, options);
      await writeBootstrap(bundle, bootstrap);
      return await this.#connect(bootstrap);
    } catch (error) {
      // It may have left a process behind before it failed.
      await this.#cleanUp();
      throw wrapFault("start failed", error);
    }
  }

  /** Reaches the shim that the bundle has. One that does not answer is dead. */
  async #reopen(known: Bootstrap | undefined): Promise<OpenedShim> {
    const { id, program } = this.#options;
    try {
      if (known === undefined) throw notFound("its address");
      if (program !== undefined) this.#openLog();
      return await this.#connect(known);
    } catch (error) {
      await this.#lost();
      throw notFound(`shim of ${id}: ${messageOf(error)}`);
    }
  }

  async #connect(bootstrap: Bootstrap): Promise<OpenedShim> {
    const { id, namespace, timeouts } = this.#options;
    const connection = await connectShim(id, namespace, bootstrap, timeouts.shimLoadMs);
    this.#endpoint = { address: `${bootstrap.protocol}+${bootstrap.address}`, version: connection.version };
    void connection.closed.then(() => this.#lost());
    return connection;
  }

  async #lost(): Promise<void> {
    if (this.#released || this.#options.closing.aborted) return;
    this.#dead = true;
    this.#options.log.warn("shim disconnected");
    const end = await this.#cleanUp();
    this.#die(end ?? { pid: 0, exitStatus: unknownExitStatus, exitedAt: systemClock().toTimestamp() });
  }

  /** Has the program clean up. Answers how its task ended, where it can tell. */
  async #cleanUp(): Promise<ShimEnd | undefined> {
    const { program, log } = this.#options;
    try {
      return await program?.delete(this.#options);
    } catch (error) {
      log.warn("failed to clean up after shim disconnected", { error });
      return undefined;
    } finally {
      this.#closeLog();
      this.#options.onGone();
    }
  }

  #openLog(): void {
    try {
      this.#log ??= this.#options.readLog();
    } catch (error) {
      // A task without its shim's log is still a task.
      this.#options.log.warn("open shim log pipe", { error });
    }
  }

  #closeLog(): void {
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
  }
}
