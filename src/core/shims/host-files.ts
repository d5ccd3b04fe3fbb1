import { mkdir, readlink, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../../lib/log.ts";
import { createFdWatcher, isErrno, type Kernel } from "../../sys/index.ts";
import { programFile, readSmall, writeWhole } from "./shim-files.ts";
import { logFifo, readShimLog } from "./shim-log.ts";

/** Beside the namespaces' folders; names with a dot are no namespaces, to a containerd neither. */
const hostFolder = ".host";
/** From a bundle, `<folder>/<namespace>/<id>`. */
const wayToHost = `../../${hostFolder}`;

export interface HostFilesOptions {
  readonly kernel: Kernel;
  /** The folder of all bundles. */
  readonly folder: string;
  /** The host's program, where it has one by itself. */
  readonly program: string | undefined;
  readonly log: Logger;
}

/**
 * What bundles of the shared host's have of a shim's: `log`, a FIFO from which the daemon's log is written, and
 * `shim-binary-path`, the program that serves the task.
 * Shape: both are links to files that all of these bundles share, so that a task costs no descriptor, and each leads to what the
 * daemon that runs now reads and starts.
 */
export interface HostFiles extends Disposable {
  /** Has what is written to the FIFO read from now on. Never rejects: tasks run without it. */
  open(): Promise<void>;
  /** Puts the links into a new bundle. Never rejects. */
  link(bundle: string): Promise<void>;
}

export function createHostFiles(options: HostFilesOptions): HostFiles {
  return new LinkedFiles(options);
}

/** Whether a bundle's `shim-binary-path` is the link of these. */
export async function isOfHost(bundle: string): Promise<boolean> {
  try {
    return (await readlink(join(bundle, programFile))) === join(wayToHost, programFile);
  } catch (error) {
    // It is not there, or a file.
    if (isErrno(error, "ENOENT", "EINVAL")) return false;
    throw error;
  }
}

class LinkedFiles implements HostFiles {
  readonly #options: HostFilesOptions;
  readonly #stack = new DisposableStack();
  #opening: Promise<void> | undefined;

  constructor(options: HostFilesOptions) {
    this.#options = options;
  }

  open(): Promise<void> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      this.#options.log.warn("prepare the files of the shim host's bundles", { error });
    });
    return this.#opening;
  }

  async link(bundle: string): Promise<void> {
    const { program, log } = this.#options;
    const names = program === undefined ? [logFifo] : [logFifo, programFile];
    const made = names.map((name) => symlink(join(wayToHost, name), join(bundle, name)));
    await Promise.all([this.open(), ...made]).catch((error: unknown) => {
      log.warn("link the files of the shim host into a bundle", { bundle, error });
    });
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  async #open(): Promise<void> {
    const { kernel, folder, program, log } = this.#options;
    const shared = join(folder, hostFolder);
    await mkdir(shared, { recursive: true, mode: 0o711 });
    if (program !== undefined && (await readSmall(join(shared, programFile)))?.toString() !== program) {
      await writeWhole(join(shared, programFile), program, 0o600);
    }
    if (this.#stack.disposed) return;
    const onError = (error: unknown): void => log.error("read the log of the shim host's bundles", { error });
    // A try that fails leaves nothing open: each new task tries again.
    using opened = new DisposableStack();
    const watcher = opened.use(createFdWatcher({ kernel, onError }));
    opened.use(readShimLog({ kernel, watcher, bundle: shared, log }));
    this.#stack.use(opened.move());
  }
}
