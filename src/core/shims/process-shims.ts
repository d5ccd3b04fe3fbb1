import type { Any } from "@bufbuild/protobuf/wkt";
import type { Logger } from "../../lib/log.ts";
import { defaultTimeLimits, type TimeLimits } from "../../plugin/index.ts";
import { createFdWatcher, type FdWatcher, type Kernel } from "../../sys/index.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { isOfHost } from "./host-files.ts";
import { ProcessShim, type ProcessShimOptions } from "./process-shim.ts";
import type { Shim } from "./shim.ts";
import { readBootstrap, readOwner, type ShimOwner, writeBootstrap, writeOwner } from "./shim-files.ts";
import { readShimLog } from "./shim-log.ts";
import { type DaemonFacts, type ShimIdentity, ShimProgram } from "./shim-program.ts";

export interface ProcessShimsOptions {
  readonly daemon: DaemonFacts;
  readonly kernel: Kernel;
  /** containerd's defaults without. */
  readonly timeouts?: TimeLimits | undefined;
  readonly log: Logger;
}

/** The shims of other people that this daemon started, and those that its last life did. */
export interface ProcessShims extends AsyncDisposable {
  /** A shim by its program; it starts with its first connection, in the bundle. */
  byProgram(identity: ShimIdentity, program: string, options: Any | undefined): Shim;
  /** A place in the shim of a sandbox, which is found by the sandbox's bundle; undefined when the shared host has it. */
  inSandbox(identity: ShimIdentity, sandboxId: string, sandboxBundle: string): Promise<Shim | undefined>;
  /** A place in whatever serves tasks at an address that a sandbox's controller gave. */
  atAddress(identity: ShimIdentity, sandboxId: string, bootstrap: Bootstrap): Shim;
  /** The shim of a bundle of the daemon's last life; undefined when the bundle is the shared host's. Nothing is started. */
  ofBundle(identity: ShimIdentity): Promise<Shim | undefined>;
}

export function createProcessShims(options: ProcessShimsOptions): ProcessShims {
  return new BundledShims(options);
}

class BundledShims implements ProcessShims {
  readonly #options: ProcessShimsOptions;
  readonly #timeouts: TimeLimits;
  readonly #closing = new AbortController();
  readonly #programs = new Map<string, ShimProgram>();
  readonly #shims = new Set<ProcessShim>();
  #watcher: FdWatcher | undefined;

  constructor(options: ProcessShimsOptions) {
    this.#options = options;
    this.#timeouts = options.timeouts ?? defaultTimeLimits;
  }

  byProgram(identity: ShimIdentity, program: string, options: Any | undefined): Shim {
    const owner = { program, sandboxId: "" };
    return this.#make(identity, owner, { options, mayStart: true, prepare: () => writeOwner(identity.bundle, owner) });
  }

  async inSandbox(identity: ShimIdentity, sandboxId: string, sandboxBundle: string): Promise<Shim | undefined> {
    const bootstrap = await readBootstrap(sandboxBundle);
    // Older shims group by annotations: their program is asked for each task. Source: shim_manager.go, Start.
    if (bootstrap === undefined || bootstrap.version < 3) return undefined;
    return this.atAddress(identity, sandboxId, bootstrap);
  }

  atAddress(identity: ShimIdentity, sandboxId: string, bootstrap: Bootstrap): Shim {
    const owner = { program: undefined, sandboxId };
    const prepare = async (): Promise<void> => {
      await writeOwner(identity.bundle, owner);
      await writeBootstrap(identity.bundle, bootstrap);
    };
    return this.#make(identity, owner, { options: undefined, mayStart: false, prepare });
  }

  async ofBundle(identity: ShimIdentity): Promise<Shim | undefined> {
    if (await isOfHost(identity.bundle)) return undefined;
    const owner = await readOwner(identity.bundle);
    if (owner === undefined) return undefined;
    return this.#make(identity, owner, { options: undefined, mayStart: false, prepare: () => Promise.resolve() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#shims].map((shim) => shim[Symbol.asyncDispose]()));
    this.#watcher?.[Symbol.dispose]();
  }

  #make(
    identity: ShimIdentity,
    owner: ShimOwner,
    given: Pick<ProcessShimOptions, "options" | "mayStart" | "prepare">,
  ): Shim {
    const { namespace, id, bundle } = identity;
    const log = this.#options.log.with({ id, namespace });
    const shim = new ProcessShim({
      namespace,
      id,
      bundle,
      ...given,
      program: owner.program === undefined ? undefined : this.#program(owner.program),
      readLog: () => readShimLog({ kernel: this.#options.kernel, watcher: this.#watch(), bundle, log }),
      closing: this.#closing.signal,
      timeouts: this.#timeouts,
      log,
      onGone: () => this.#shims.delete(shim),
    });
    this.#shims.add(shim);
    return shim;
  }

  /** One a path, which remembers how it takes its options. */
  #program(path: string): ShimProgram {
    const known = this.#programs.get(path);
    if (known !== undefined) return known;
    const program = new ShimProgram(path, this.#options.daemon, this.#timeouts, this.#options.log);
    this.#programs.set(path, program);
    return program;
  }

  #watch(): FdWatcher {
    const onError = (error: unknown): void => this.#options.log.error("read a shim's log", { error });
    this.#watcher ??= createFdWatcher({ kernel: this.#options.kernel, onError });
    return this.#watcher;
  }
}
