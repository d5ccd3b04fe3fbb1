import { Instant } from "../../lib/instant.ts";
import { SharedWait } from "../../lib/shared-wait.ts";
import type { OwnedFd } from "../../sys/index.ts";
import { drawers, type Kept } from "../keeper/kept.ts";
import type { PidRecord, ProcessRecord, ProcessStatus, StdioRecord } from "../state/records.ts";
import type { PendingStdin } from "../stdio/pending-stdin.ts";
import type { HeldStdin } from "../stdio/process-io.ts";
import type { Terminal } from "../terminal/terminal.ts";
import type { ProcessExit, ProcessHandle } from "./process-handle.ts";

/** Init or an exec of a task: what is known of it, and what the host holds for it. */
export class TaskProcess {
  /** Empty for init. */
  readonly execId: string;
  readonly stdio: StdioRecord;
  /** Settles when the exit was published. */
  readonly exited: Promise<void>;
  status: ProcessStatus = "creating";
  pid = 0;
  startTime = 0;
  exitStatus = 0;
  exitKnown = true;
  exitedAt: Instant | undefined;
  stdinClosed = false;
  /** An exec whose start is under way counts as running: init's exit waits for its. */
  starting = false;
  /** Settles when a start that is under way is over, however it went. */
  begun: Promise<void> | undefined;
  handle: ProcessHandle | undefined;
  terminal: Terminal | undefined;
  stdinWriter: OwnedFd | undefined;
  /** Until the start. */
  pendingStdin: PendingStdin | undefined;
  logger: PidRecord | undefined;
  /** What of it outlives this host. */
  kept: Kept | undefined;
  /** For callers, who may give up. */
  readonly exitWait: SharedWait<void>;
  readonly #settleExited: () => void;

  constructor(execId: string, stdio: StdioRecord) {
    this.execId = execId;
    this.stdio = stdio;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.exited = promise;
    this.exitWait = new SharedWait(promise);
    this.#settleExited = resolve;
  }

  static fromRecord(record: ProcessRecord): TaskProcess {
    const one = new TaskProcess(record.execId, record.stdio);
    one.status = record.status;
    one.pid = record.pid;
    one.startTime = record.startTime;
    one.exitStatus = record.exitStatus;
    one.exitKnown = record.exitKnown;
    one.exitedAt = Instant.parse(record.exitedAt);
    one.stdinClosed = record.stdinClosed;
    one.logger = record.logger;
    if (one.status === "stopped") one.settleExited();
    return one;
  }

  toRecord(): ProcessRecord {
    return {
      execId: this.execId,
      status: this.status,
      pid: this.pid,
      startTime: this.startTime,
      stdio: this.stdio,
      exitStatus: this.exitStatus,
      exitKnown: this.exitKnown,
      exitedAt: this.exitedAt?.toString() ?? "",
      stdinClosed: this.stdinClosed,
      ...(this.logger === undefined ? {} : { logger: this.logger }),
    };
  }

  setExit(exit: ProcessExit): void {
    this.status = "stopped";
    this.exitStatus = exit.status;
    this.exitKnown = exit.known;
    this.exitedAt = exit.at;
  }

  /** Lets every Wait go. */
  settleExited(): void {
    this.#settleExited();
  }

  /** Takes what the host has of stdin. Shape: CloseIO may have come while the runtime was at work, before there was anything to let go of. */
  takeStdin(stdin: HeldStdin | undefined): void {
    if (stdin === undefined) this.stdinClosed ||= this.stdio.stdin !== "";
    else if ("writer" in stdin) this.stdinWriter = stdin.writer;
    else if (!stdin.pending.hasEnded) this.pendingStdin = stdin.pending;
    else {
      stdin.pending[Symbol.dispose]();
      this.stdinClosed = true;
    }
    if (this.stdinClosed) this.closeStdin();
  }

  /** From the start on stdin ends by CloseIO, unless it had ended by then. Errors: as the system's. */
  holdStdin(): void {
    using pending = this.pendingStdin;
    this.pendingStdin = undefined;
    if (pending === undefined) return;
    this.stdinWriter = pending.hold();
    if (this.stdinWriter === undefined) this.closeStdin();
    else this.kept?.fill(drawers.stdin, new Map([["writer", this.stdinWriter.fd]]));
  }

  /** Lets go of the host's end of stdin, so that it ends when clients have closed theirs. */
  closeStdin(): void {
    this.pendingStdin?.[Symbol.dispose]();
    this.pendingStdin = undefined;
    this.stdinWriter?.[Symbol.dispose]();
    this.stdinWriter = undefined;
    this.terminal?.closeStdin();
    this.kept?.drop(drawers.stdin);
    this.stdinClosed = true;
  }

  /** Lets go of everything that the host holds for a process that has ended, or never began; its terminal may still drain. */
  release(): void {
    this.kept?.drop(drawers.stdin);
    this.kept?.letGoOfProcess();
    this.handle?.[Symbol.dispose]();
    this.handle = undefined;
    this.stdinWriter?.[Symbol.dispose]();
    this.stdinWriter = undefined;
    this.pendingStdin?.[Symbol.dispose]();
    this.pendingStdin = undefined;
  }
}
