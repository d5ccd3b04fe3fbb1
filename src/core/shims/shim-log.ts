import { join } from "node:path";
import type { Logger, LogLevel } from "../../lib/log.ts";
import {
  archOpenFlags,
  type FdWatcher,
  isErrno,
  type Kernel,
  OwnedFd,
  openFlags,
  pollEvents,
} from "../../sys/index.ts";

/** The FIFO in the bundle to which a shim writes its log. Source: containerd core/runtime/v2/shim_unix.go, openShimLog. */
export const logFifo = "log";

/** A longer line is cut in two. */
const lineMaxBytes = 8 << 10;

const levels: Readonly<Record<string, LogLevel>> = {
  trace: "trace",
  debug: "debug",
  info: "info",
  warning: "warn",
  warn: "warn",
  error: "error",
  fatal: "error",
  panic: "error",
};

export interface ShimLogOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly bundle: string;
  readonly log: Logger;
}

/** Makes the shim's log FIFO where it is not there, and passes what comes through it on to the daemon's log. */
export function readShimLog({ kernel, watcher, bundle, log }: ShimLogOptions): Disposable {
  const path = join(bundle, logFifo);
  try {
    kernel.mkfifo(path, 0o700);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  using stack = new DisposableStack();
  // Read-write: it never ends, whoever comes and goes.
  const flags = openFlags.readWrite | openFlags.nonBlock | archOpenFlags.noFollow;
  const fifo = stack.use(new OwnedFd(kernel, kernel.open(path, flags)));
  const lines = new LogLines(log);
  const buffer = new Uint8Array(lineMaxBytes);
  const read = (): void => {
    try {
      lines.push(buffer.subarray(0, kernel.read(fifo.fd, buffer)));
    } catch (error) {
      if (!isErrno(error, "EAGAIN")) throw error;
    }
  };
  stack.use(watcher.watch(fifo.fd, pollEvents.readable, read));
  return stack.move();
}

/** Lines in logrus' form, each at its own level. */
class LogLines {
  readonly #log: Logger;
  #rest = "";

  constructor(log: Logger) {
    this.#log = log;
  }

  push(bytes: Uint8Array): void {
    const lines = `${this.#rest}${Buffer.from(bytes).toString()}`.split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > lineMaxBytes) {
      lines.push(this.#rest);
      this.#rest = "";
    }
    for (const line of lines) if (line !== "") this.#write(line);
  }

  #write(line: string): void {
    const level = levels[/(?:^| )level=(\w+)/.exec(line)?.[1] ?? ""] ?? "info";
    this.#log[level === "fatal" ? "error" : level]("shim", { line });
  }
}
