import { fchownSync, fstatSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { FaultError, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { logTargetOf, stderrTargetOf } from "../../lib/output-log/index.ts";
import { closeQuietly, type Fd, type FdWatcher, type Kernel, OwnedFd, openFlags } from "../../sys/index.ts";
import type { ChildStdio } from "../runtime/spawner.ts";
import type { PidRecord, StdioRecord } from "../state/records.ts";
import { startLogger } from "./logger-process.ts";
import { PendingStdin } from "./pending-stdin.ts";
import { enlargePipe, inputPipeBytes, outputPipeBytes } from "./pipe-size.ts";
import { type OutputTarget, parseOutput } from "./stdio-uri.ts";

export interface OpenIoOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly log: Logger;
  readonly stdio: StdioRecord;
  /** The id that a logger is told: the container's, or the exec's. */
  readonly id: string;
  readonly namespace: string;
  /** Who owns the pipes; 0 leaves them as they are. */
  readonly uid: number;
  readonly gid: number;
  /** The process does not run before its start: whoever wrote to stdin and left by then had all of it written. */
  readonly waits?: boolean;
}

/** Stdin's FIFO as the host has it: held already, or of a process that waits for its start. */
export type HeldStdin = { readonly writer: OwnedFd } | { readonly pending: PendingStdin };

/** A process's streams, opened: what the runtime gets, and what the host keeps. */
export interface OpenedIo {
  /** To be handed to the runtime, and closed by `closeChildEnds` once it has them. */
  readonly child: ChildStdio;
  /** Stdin's FIFO, the caller's from now on; called once, after the runtime. Undefined where stdin is no FIFO. */
  takeStdin(): HeldStdin | undefined;
  readonly logger: PidRecord | undefined;
  closeChildEnds(): void;
  /** Closes everything: for failures. */
  close(): void;
}

/**
 * Opens a process's streams so that they can be handed over as they are: no byte passes through the host.
 * Shape: output FIFOs are opened read-write, so that the process neither blocks on open nor gets SIGPIPE when readers
 * leave; stdin's is opened for reading with a writer of the host's beside it. All block again once opened.
 * Errors: unknown, `failed to create init process I/O: ...`.
 */
export async function openIo(options: OpenIoOptions): Promise<OpenedIo> {
  const opened = new OpenStreams(options);
  try {
    return await opened.open();
  } catch (error) {
    opened.close();
    throw new FaultError("unknown", `failed to create init process I/O: ${messageOf(error)}`, { cause: error });
  }
}

class OpenStreams {
  readonly #options: OpenIoOptions;
  readonly #childEnds = new Set<Fd>();
  #stdinIsFifo = false;
  #stdinWriter: Fd | undefined;
  #logger: PidRecord | undefined;

  constructor(options: OpenIoOptions) {
    this.#options = options;
  }

  async open(): Promise<OpenedIo> {
    const { stdio } = this.#options;
    const stdin = stdio.stdin === "" ? "ignore" : this.#openStdin(stdio.stdin);
    const [stdout, stderr] = await this.#openOutputs(stdio);
    this.#give([stdin, stdout, stderr]);
    return {
      child: [stdin, stdout, stderr],
      takeStdin: () => this.#takeStdin(stdin),
      logger: this.#logger,
      closeChildEnds: () => this.#closeChildEnds(),
      close: () => this.close(),
    };
  }

  close(): void {
    this.#closeChildEnds();
    if (this.#stdinWriter !== undefined) closeQuietly(this.#options.kernel, this.#stdinWriter);
    this.#stdinWriter = undefined;
  }

  #closeChildEnds(): void {
    for (const fd of this.#childEnds) closeQuietly(this.#options.kernel, fd);
    this.#childEnds.clear();
  }

  #openStdin(path: string): Fd {
    const { kernel } = this.#options;
    const fd = this.#keep(kernel.open(path, openFlags.readOnly | openFlags.nonBlock));
    this.#stdinIsFifo = fstatSync(fd).isFIFO();
    // A process that runs before there is a writer would find its input ended.
    if (this.#stdinIsFifo && this.#options.waits !== true) this.#stdinWriter = this.#openStdinWriter();
    kernel.setNonBlocking(fd, false);
    if (this.#stdinIsFifo) this.#enlarge(fd, path, inputPipeBytes);
    return fd;
  }

  #takeStdin(reader: Fd | "ignore"): HeldStdin | undefined {
    if (reader === "ignore" || !this.#stdinIsFifo) return undefined;
    const { kernel } = this.#options;
    const writer = this.#stdinWriter;
    this.#stdinWriter = undefined;
    if (writer !== undefined) return { writer: new OwnedFd(kernel, writer) };
    this.#childEnds.delete(reader);
    return { pending: new PendingStdin(kernel, reader) };
  }

  #openStdinWriter(): Fd {
    return this.#options.kernel.open(this.#options.stdio.stdin, openFlags.writeOnly | openFlags.nonBlock);
  }

  async #openOutputs(stdio: StdioRecord): Promise<[Fd | "ignore", Fd | "ignore"]> {
    const out = parseOutput(stdio.stdout);
    if (out.kind === "binary") return await this.#openLogger(out);
    if (out.kind === "file") {
      // One descriptor for both, so that lines of both keep their order. Source: containerd's createIO, scheme file.
      const fd = this.#openFile(out.path);
      const log = logTargetOf(stdio.stdout);
      return [fd, log?.apart === true ? this.#openFile(stderrTargetOf(log).path) : fd];
    }
    return [this.#openOutput(out), this.#openOutput(parseOutput(stdio.stderr))];
  }

  #openOutput(target: OutputTarget): Fd | "ignore" {
    switch (target.kind) {
      case "null":
        return "ignore";
      case "fifo":
        return this.#openFifo(target.path);
      case "file":
        return this.#openFile(target.path);
      case "binary":
        throw new FaultError("invalidArgument", "a logger takes stdout and stderr together: invalid argument");
    }
  }

  #openFifo(path: string): Fd {
    const { kernel } = this.#options;
    if (!statSync(path).isFIFO()) return this.#keep(kernel.open(path, openFlags.writeOnly | openFlags.append));
    const fd = this.#keep(kernel.open(path, openFlags.readWrite | openFlags.nonBlock));
    kernel.setNonBlocking(fd, false);
    this.#enlarge(fd, path, outputPipeBytes);
    return fd;
  }

  #enlarge(fd: Fd, path: string, bytes: number): void {
    const { kernel, log } = this.#options;
    const reason = enlargePipe(kernel, fd, bytes);
    if (reason !== undefined) log.debug("a stream's pipe keeps its size", { path, reason });
  }

  #openFile(path: string): Fd {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const flags = openFlags.writeOnly | openFlags.append | openFlags.create;
    return this.#keep(this.#options.kernel.open(path, flags, 0o600));
  }

  async #openLogger(target: OutputTarget & { readonly kind: "binary" }): Promise<[Fd, Fd]> {
    const { kernel, watcher, id, namespace } = this.#options;
    const [outRead, outWrite] = kernel.pipe();
    const [errRead, errWrite] = kernel.pipe();
    this.#keep(outWrite);
    this.#keep(errWrite);
    try {
      this.#logger = await startLogger({
        kernel,
        watcher,
        target,
        containerId: id,
        namespace,
        stdout: outRead,
        stderr: errRead,
      });
    } finally {
      closeQuietly(kernel, outRead);
      closeQuietly(kernel, errRead);
    }
    return [outWrite, errWrite];
  }

  /** Gives the pipes to the user whom the runtime options name. */
  #give(fds: readonly (Fd | "ignore")[]): void {
    const { uid, gid } = this.#options;
    if (uid === 0 && gid === 0) return;
    for (const fd of fds) if (fd !== "ignore") fchownSync(fd, uid, gid);
  }

  #keep(fd: Fd): Fd {
    this.#childEnds.add(fd);
    return fd;
  }
}
