import { statSync } from "node:fs";
import { closeQuietly, type Fd, type FdWatcher, isErrno, type Kernel, OwnedFd, openFlags } from "../../sys/index.ts";
import type { PidRecord, StdioRecord } from "../state/records.ts";
import { startLogger } from "../stdio/logger-process.ts";
import { parseOutput } from "../stdio/stdio-uri.ts";
import { FdPump } from "./fd-pump.ts";

export interface TerminalOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  /** The pty's master; the terminal owns it from now on. */
  readonly master: Fd;
  readonly stdio: StdioRecord;
  readonly id: string;
  readonly namespace: string;
  /** What an earlier host had open of a terminal that is adopted; the terminal owns it from now on. */
  readonly adopted?: AdoptedStreams;
}

export interface AdoptedStreams {
  /** The receiver of the output: a FIFO, a file or a logger's pipe. */
  readonly output: Fd | undefined;
  /** The reading end of the client's FIFO. */
  readonly input: Fd | undefined;
  readonly stdinWriter: Fd | undefined;
}

/** End of transmission: what a terminal's line discipline reads as end of file. */
const endOfInput = new Uint8Array([4]);

/** A process's terminal: the pty's master, relayed between the client's FIFOs. */
export class Terminal implements Disposable {
  readonly master: Fd;
  readonly logger: PidRecord | undefined;
  /** Settles when all output has gone to its receiver. */
  readonly drained: Promise<void>;
  /** What an adoption needs: the master, the output's receiver, and the input's reading end. */
  readonly streams: Map<"master" | "output" | "input", Fd> = new Map();
  readonly #kernel: Kernel;
  readonly #stack = new DisposableStack();
  #output: FdPump | undefined;
  #stdinWriter: OwnedFd | undefined;

  private constructor(options: TerminalOptions, logger: PidRecord | undefined, to: Fd | undefined) {
    this.#kernel = options.kernel;
    this.master = options.master;
    this.logger = logger;
    this.#stack.use(new OwnedFd(options.kernel, options.master));
    this.#kernel.setNonBlocking(this.master, true);
    this.streams.set("master", this.master);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.drained = promise;
    this.#stack.defer(resolve);
    const output = to === undefined ? undefined : this.#stack.use(new OwnedFd(options.kernel, to));
    if (output !== undefined) this.streams.set("output", output.fd);
    this.#relayOutput(options, output, resolve);
    if (options.stdio.stdin !== "") this.#relayInput(options);
  }

  /** The host's writer for the client's FIFO, until `closeStdin`. */
  get stdinWriter(): Fd | undefined {
    return this.#stdinWriter?.isOpen === true ? this.#stdinWriter.fd : undefined;
  }

  /** Opens the client's side and starts the relay. Errors: as opening a FIFO or starting a logger fails; the master is closed then. */
  static async open(options: TerminalOptions): Promise<Terminal> {
    if (options.adopted !== undefined) return new Terminal(options, undefined, options.adopted.output);
    try {
      const { to, logger } = await openOutput(options);
      return new Terminal(options, logger, to);
    } catch (error) {
      closeQuietly(options.kernel, options.master);
      throw error;
    }
  }

  resize(columns: number, rows: number): void {
    this.#kernel.setWindowSize(this.master, columns, rows);
  }

  /** Lets the terminal's input end once clients have closed theirs. */
  closeStdin(): void {
    this.#stdinWriter?.[Symbol.dispose]();
  }

  /** The process has ended: what it wrote goes out, then the relay ends. */
  finish(): void {
    this.#output?.drain();
  }

  [Symbol.dispose](): void {
    this.closeStdin();
    this.#stack.dispose();
  }

  #relayOutput(options: TerminalOptions, to: OwnedFd | undefined, onEnd: () => void): void {
    const { kernel, watcher } = options;
    this.#output = new FdPump({
      kernel,
      watcher,
      from: this.master,
      to: to?.fd,
      gathers: true,
      onEnd: () => {
        // Readers see the end of the output now, and not only when the task is deleted.
        to?.[Symbol.dispose]();
        onEnd();
      },
    });
    this.#stack.use(this.#output);
  }

  #relayInput({ kernel, watcher, stdio, adopted }: TerminalOptions): void {
    const open = (access: number): Fd => kernel.open(stdio.stdin, access | openFlags.nonBlock);
    const input = adopted === undefined ? open(openFlags.readOnly) : adopted.input;
    if (input === undefined) return;
    const from = this.#own(input);
    this.streams.set("input", from);
    const writer = adopted === undefined ? open(openFlags.writeOnly) : adopted.stdinWriter;
    if (writer !== undefined) this.#stdinWriter = new OwnedFd(kernel, writer);
    // The master is watched for its output already, and an epoll set takes a descriptor once.
    const to = this.#own(kernel.duplicate(this.master));
    const onEnd = (): void => {
      try {
        kernel.write(to, endOfInput);
      } catch (error) {
        if (!isErrno(error, "EIO", "EAGAIN", "EBADF")) throw error;
      }
    };
    this.#stack.use(new FdPump({ kernel, watcher, from, to, onEnd }));
  }

  #own(fd: Fd): Fd {
    this.#stack.use(new OwnedFd(this.#kernel, fd));
    return fd;
  }
}

/** Where the output goes: a FIFO held open on both ends, a file, a logger, or nowhere. */
async function openOutput(options: TerminalOptions): Promise<{ to: Fd | undefined; logger: PidRecord | undefined }> {
  const { kernel, stdio } = options;
  const target = parseOutput(stdio.stdout);
  switch (target.kind) {
    case "null":
      return { to: undefined, logger: undefined };
    case "file":
      return { to: kernel.open(target.path, fileFlags, 0o600), logger: undefined };
    case "fifo": {
      const isFifo = statSync(target.path).isFIFO();
      return { to: kernel.open(target.path, isFifo ? fifoFlags : fileFlags, 0o600), logger: undefined };
    }
    case "binary":
      return await openLogger(options, target);
  }
}

const fifoFlags = openFlags.readWrite | openFlags.nonBlock;
const fileFlags = openFlags.writeOnly | openFlags.append | openFlags.create;

async function openLogger(
  { kernel, watcher, id, namespace }: TerminalOptions,
  target: ReturnType<typeof parseOutput> & { readonly kind: "binary" },
): Promise<{ to: Fd; logger: PidRecord }> {
  const [outRead, to] = kernel.pipe();
  // A terminal has one output; the logger's stderr ends at once.
  const [errRead, errWrite] = kernel.pipe();
  try {
    const logger = await startLogger({
      kernel,
      watcher,
      target,
      containerId: id,
      namespace,
      stdout: outRead,
      stderr: errRead,
    });
    kernel.setNonBlocking(to, true);
    return { to, logger };
  } catch (error) {
    closeQuietly(kernel, to);
    throw error;
  } finally {
    for (const fd of [outRead, errRead, errWrite]) closeQuietly(kernel, fd);
  }
}
