import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import type { Fd, Kernel } from "../../sys/index.ts";

/** Paths as a task's create request takes them; empty ones are /dev/null to the container. */
export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FifoOptions {
  readonly kernel: Pick<Kernel, "mkfifo">;
  /** The folder under which each set has a private one. */
  readonly root: string;
  readonly stdin: boolean;
  /** A terminal has one output for both. */
  readonly terminal: boolean;
}

/**
 * The client's ends of a process's FIFOs.
 * Shape: the readers are there from the start, so that whoever writes finds one; a kept writer stands in for the daemon
 * until it has opened its own end, since a FIFO without a writer reads as ended.
 */
export interface FifoSet extends Disposable {
  readonly paths: StdioPaths;
  readonly folder: string;
  readonly stdout: Fd;
  readonly stderr: Fd | undefined;
  /** Where the caller's input goes; read-write, so that opening it waits for nobody. */
  readonly stdin: Fd | undefined;
  /** Call once the daemon has opened its ends: from now on the end of output is seen. */
  release(): void;
  /** The caller's input has ended: closes its end. */
  closeStdin(): void;
  /** Leaves the folder where it is, for whoever attaches next. */
  keep(): void;
}

/** Makes a private folder of FIFOs and opens this side of them. Effects: disposing closes them and removes the folder. */
export function makeFifos(options: FifoOptions): FifoSet {
  mkdirSync(options.root, { recursive: true, mode: 0o711 });
  const folder = mkdtempSync(`${options.root}/`);
  const paths = {
    stdin: options.stdin ? `${folder}/stdin` : "",
    stdout: `${folder}/stdout`,
    stderr: options.terminal ? "" : `${folder}/stderr`,
  };
  try {
    for (const path of [paths.stdin, paths.stdout, paths.stderr]) if (path !== "") options.kernel.mkfifo(path, 0o600);
    return openFifos(paths, { folder, hold: true });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

export interface OpenOptions {
  readonly folder: string;
  /** Hold a writer of the outputs until `release`. */
  readonly hold: boolean;
}

/** Opens this side of FIFOs that are there already: to attach to a process that runs. */
export function openFifos(paths: StdioPaths, options: OpenOptions): FifoSet {
  const opened: Fd[] = [];
  const held: Fd[] = [];
  const open = (path: string, flags: number): Fd => {
    const fd = openSync(path, flags | constants.O_NONBLOCK);
    opened.push(fd);
    return fd;
  };
  let keep = false;
  const release = (): void => {
    for (const fd of held.splice(0)) closeSync(fd);
  };
  const reader = (path: string): Fd => {
    const fd = open(path, constants.O_RDONLY);
    if (options.hold) held.push(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return fd;
  };
  const dispose = (): void => {
    release();
    for (const fd of opened.splice(0)) closeSync(fd);
    if (!keep && options.folder !== "") rmSync(options.folder, { recursive: true, force: true });
  };
  try {
    const stdin = paths.stdin === "" ? undefined : open(paths.stdin, constants.O_RDWR);
    return {
      paths,
      folder: options.folder,
      stdout: reader(paths.stdout),
      stderr: paths.stderr === "" ? undefined : reader(paths.stderr),
      stdin,
      release,
      closeStdin: () => {
        const at = stdin === undefined ? -1 : opened.indexOf(stdin);
        for (const fd of at < 0 ? [] : opened.splice(at, 1)) closeSync(fd);
      },
      keep: () => {
        keep = true;
      },
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}
