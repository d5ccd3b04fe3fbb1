import { readFileSync } from "node:fs";
import type { Clock } from "../../lib/clock.ts";
import { FaultError } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import {
  closeQuietly,
  exitStatusOf,
  type Fd,
  type FdWatch,
  type FdWatcher,
  isErrno,
  type Kernel,
  OwnedFd,
  pollEvents,
} from "../../sys/index.ts";

export interface ProcessExit {
  readonly status: number;
  /** False when nobody could tell; the status is 255 then. */
  readonly known: boolean;
  readonly at: Instant;
}

export interface ProcessHandleOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly pid: number;
  readonly startTime: number;
  readonly pidfd: Fd;
  readonly now: Clock;
}

/** The status of a process whose exit nobody saw. Source: containerd core/runtime/v2/shim.go, UnknownExitStatus. */
const unknownStatus = 255;

/** A traced zombie can't be reaped until its tracer lets go, which takes it a moment. Source: ptrace(2), "Death under ptrace". */
const tracedRetryMs = 10;

/** One process held by its pidfd: signalled, watched, and asked for its exit status, whoever its parent is. */
export class ProcessHandle implements Disposable {
  readonly pid: number;
  readonly startTime: number;
  readonly pidfd: Fd;
  readonly #kernel: Kernel;
  readonly #watcher: FdWatcher;
  readonly #now: Clock;
  #watch: FdWatch | undefined;
  #callback: ((exit: ProcessExit) => void) | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #held = false;
  #closed = false;

  constructor(options: ProcessHandleOptions) {
    this.pid = options.pid;
    this.startTime = options.startTime;
    this.pidfd = options.pidfd;
    this.#kernel = options.kernel;
    this.#watcher = options.watcher;
    this.#now = options.now;
  }

  /** Calls back once, when the process has ended. Effects: a child stays a zombie until this was asked for. */
  onExit(callback: (exit: ProcessExit) => void): void {
    this.#callback = callback;
    if (!this.#held) this.#start(callback);
  }

  /** Leaves an exit where it is until `resumeExit`. */
  holdExit(): void {
    this.#held = true;
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }

  resumeExit(): void {
    this.#held = false;
    if (this.#callback !== undefined && this.#watch === undefined && !this.#closed) this.#start(this.#callback);
  }

  #start(callback: (exit: ProcessExit) => void): void {
    this.#watch = this.#watcher.watch(this.pidfd, pollEvents.readable, () => {
      const exit = this.#collect();
      if (typeof exit === "string") {
        this.#watch?.change(0);
        // A parent's reaping is followed by a hang-up; a tracer's letting go changes nothing that could be waited for.
        if (exit === "traced") this.#retry = setTimeout(() => this.#watch?.change(pollEvents.readable), tracedRetryMs);
        return;
      }
      this.#watch?.[Symbol.dispose]();
      this.#watch = undefined;
      this.#callback = undefined;
      callback(exit);
    });
  }

  /** Errors: notFound "process already finished", as containerd's shim says it. */
  signal(signal: number): void {
    try {
      this.#kernel.pidfdSignal(this.pidfd, signal);
    } catch (error) {
      if (isErrno(error, "ESRCH")) throw alreadyFinished();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#watch?.[Symbol.dispose]();
    closeQuietly(this.#kernel, this.pidfd);
  }

  /** The exit, or whom it waits for: the tracer of a child of ours (CRIU, a debugger), or the parent of another's. */
  #collect(): ProcessExit | "traced" | "unreaped" {
    try {
      const reaped = this.#kernel.reap(this.pid);
      return reaped === undefined ? "traced" : { status: reaped.exitStatus, known: true, at: this.#now() };
    } catch (error) {
      if (!isErrno(error, "ECHILD")) throw error;
    }
    return this.#collectForeign();
  }

  #collectForeign(): ProcessExit | "unreaped" {
    const status = foreignExitStatus(this.#kernel, this, this.pidfd);
    if (status === "unreaped") return status;
    return { status: status ?? unknownStatus, known: status !== undefined, at: this.#now() };
  }
}

/**
 * The exit status of a process that has ended and is not this one's child: from its zombie, or from the kernel's memory
 * of it; undefined when neither tells, "unreaped" when one will once its parent has reaped it.
 */
export function foreignExitStatus(
  kernel: Kernel,
  { pid, startTime }: { readonly pid: number; readonly startTime: number },
  pidfd: Fd,
): number | undefined | "unreaped" {
  const stat = readStat(pid);
  const zombie = stat !== undefined && stat.startTime === startTime && "ZX".includes(stat.state);
  if (zombie && canReadExitCodes()) return exitStatusOf(stat.exitCode);
  return zombie ? "unreaped" : kernel.pidfdExitStatus(pidfd);
}

export const alreadyFinished = (): FaultError => new FaultError("notFound", "process already finished: not found");

interface Stat {
  readonly state: string;
  readonly startTime: number;
  readonly exitCode: number;
  /** Whether it still runs the program of whoever forked it. Source: linux/sched.h, PF_FORKNOEXEC. */
  readonly isForkOnly: boolean;
}

const forkNoExec = 0x40;

/** What /proc says of a process, or of `PID/task/TID`; undefined when there is none. Source: proc_pid_stat(5), fields 3, 9, 22 and 52. */
export function readStat(pid: number | `${number}/task/${string}`): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  // The command's name is in parentheses and may hold anything, so that fields are counted from the last one.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    state: fields[0] ?? "",
    startTime: Number(fields[19]),
    exitCode: Number(fields[49] ?? 0),
    isForkOnly: (Number(fields[6]) & forkNoExec) !== 0,
  };
}

/** The start time of a living process. Errors: notFound when it is gone. */
export function startTimeOf(pid: number): number {
  const stat = readStat(pid);
  if (stat === undefined) throw alreadyFinished();
  return stat.startTime;
}

/** Waits for a process to end, whoever's child it is; false when it takes longer. Effects: does not reap. */
export async function waitForEnd(
  kernel: Kernel,
  watcher: FdWatcher,
  { pid, startTime }: { readonly pid: number; readonly startTime: number },
  timeoutMs: number,
): Promise<boolean> {
  using stack = new DisposableStack();
  let pidfd: Fd;
  try {
    pidfd = stack.use(new OwnedFd(kernel, kernel.pidfdOpen(pid))).fd;
  } catch (error) {
    if (isErrno(error, "ESRCH", "EINVAL")) return true;
    throw error;
  }
  if (readStat(pid)?.startTime !== startTime) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  stack.use(watcher.watch(pidfd, pollEvents.readable, () => resolve(true)));
  const timer = setTimeout(() => resolve(false), timeoutMs);
  stack.defer(() => clearTimeout(timer));
  return await promise;
}

const ptraceCapability = 1n << 19n;
let exitCodesReadable: boolean | undefined;

/** Without CAP_SYS_PTRACE the kernel shows 0 in place of another user's exit code. Source: proc_pid_stat(5). */
function canReadExitCodes(): boolean {
  exitCodesReadable ??= (effectiveCapabilities() & ptraceCapability) !== 0n;
  return exitCodesReadable;
}

function effectiveCapabilities(): bigint {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return line?.[1] === undefined ? 0n : BigInt(`0x${line[1]}`);
}
