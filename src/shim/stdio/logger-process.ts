import { FaultError, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { closeQuietly, type Fd, type FdWatcher, isErrno, type Kernel, openFlags, pollEvents } from "../../sys/index.ts";
import { readStat, waitForEnd } from "../process/process-handle.ts";
import type { PidRecord } from "../state/records.ts";
import type { OutputTarget } from "./stdio-uri.ts";

export interface LoggerOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly target: OutputTarget & { readonly kind: "binary" };
  readonly containerId: string;
  readonly namespace: string;
  /** The logger's reading ends for stdout and stderr. */
  readonly stdout: Fd;
  readonly stderr: Fd;
}

/** How long a logger may take to say that it is ready. */
const readyTimeoutMs = 30_000;

/**
 * Starts a `binary://` logger and waits until it is ready.
 * Shape: descriptors 3 and 4 are stdout and stderr, 5 is closed (or written to, for binary-v2) by the logger when ready;
 * CONTAINER_ID and CONTAINER_NAMESPACE are its whole environment.
 * Source: containerd cmd/containerd-shim-runc-v2/process/io.go, NewBinaryIO.
 */
export async function startLogger(options: LoggerOptions): Promise<PidRecord> {
  const { kernel, target } = options;
  const [readyRead, readyWrite] = kernel.pipe(openFlags.nonBlock);
  kernel.setNonBlocking(readyWrite, false);
  let logger: PidRecord;
  try {
    const child = Bun.spawn([target.path, ...target.args], {
      env: { CONTAINER_ID: options.containerId, CONTAINER_NAMESPACE: options.namespace },
      stdio: ["ignore", "ignore", "ignore", options.stdout, options.stderr, readyWrite],
      detached: true,
    });
    child.unref();
    // One that has ended already, and is gone, has nothing left to be stopped by.
    logger = { pid: child.pid, startTime: readStat(child.pid)?.startTime ?? 0 };
  } catch (error) {
    closeQuietly(kernel, readyRead);
    throw new FaultError("unknown", `failed to start binary process: ${messageOf(error)}`, { cause: error });
  } finally {
    closeQuietly(kernel, readyWrite);
  }
  try {
    const said = await waitReady(options, readyRead);
    if (target.mustSayReady && !said) {
      throw new FaultError("unknown", "logging binary did not call ready (it may have crashed or exited prematurely)");
    }
    return logger;
  } catch (error) {
    stopLogger(kernel, logger, "SIGKILL");
    throw error;
  } finally {
    closeQuietly(kernel, readyRead);
  }
}

/** Signals a logger that still runs; one that is gone is fine. */
export function stopLogger(kernel: Kernel, logger: PidRecord, signal: "SIGTERM" | "SIGKILL"): boolean {
  const stat = readStat(logger.pid);
  if (stat === undefined || stat.startTime !== logger.startTime || "ZX".includes(stat.state)) return false;
  try {
    kernel.kill(logger.pid, signal === "SIGTERM" ? 15 : 9);
    return true;
  } catch (error) {
    if (isErrno(error, "ESRCH")) return false;
    throw error;
  }
}

/** How long a logger may take to end by itself. */
const loggerGraceMs = 500;
/** How long a logger may take to end after SIGTERM. Source: binaryIOProcTermTimeout of the same file. */
const loggerTimeoutMs = 12_000;

type EndParts = Pick<LoggerOptions, "kernel" | "watcher"> & { readonly log: Logger };

/** Ends a logger whose pipes have ended, so that it ends by itself; one that does not is told to, and then made to. */
export async function endLogger({ kernel, watcher }: EndParts, logger: PidRecord): Promise<void> {
  if (await waitForEnd(kernel, watcher, logger, loggerGraceMs)) return;
  stopLogger(kernel, logger, "SIGTERM");
  if (await waitForEnd(kernel, watcher, logger, loggerTimeoutMs)) return;
  stopLogger(kernel, logger, "SIGKILL");
}

/** The same for one whose process never came to be: nobody waits for it. */
export function endLoggerInBackground(parts: EndParts, logger: PidRecord): void {
  endLogger(parts, logger).catch((error: unknown) => {
    parts.log.warn("could not end the logger of a process that failed", { pid: logger.pid, error: messageOf(error) });
  });
}

/** True when a byte came, false when the pipe was closed without one. */
function waitReady({ kernel, watcher }: LoggerOptions, ready: Fd): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      watch[Symbol.dispose]();
      reject(new FaultError("deadlineExceeded", "logging binary was not ready in time: context deadline exceeded"));
    }, readyTimeoutMs);
    const watch = watcher.watch(ready, pollEvents.readable, () => {
      let count: number;
      try {
        count = kernel.read(ready, new Uint8Array(1));
      } catch (error) {
        if (isErrno(error, "EAGAIN")) return;
        count = 0;
      }
      clearTimeout(timer);
      watch[Symbol.dispose]();
      resolve(count > 0);
    });
  });
}
