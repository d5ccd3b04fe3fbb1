import { isAbsolute } from "node:path";
import { FaultError, invalidArgument, messageOf, quote } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { type OwnProgram, ownProgram } from "../../lib/own-programs.ts";
import { closeQuietly, type Kernel } from "../../sys/index.ts";
import type { InheritedSocket } from "../listeners/listeners.ts";
import { type Handover, HandoverChannel, type HeardBefore, handoverVariable } from "./handover.ts";

/** How long another program may take to say that it could begin, and to serve once it may. */
const [prepareLimitMs, startLimitMs] = [30_000, 60_000];

export interface SuccessorOptions {
  /** An absolute path; empty for the program that this daemon was started as. */
  readonly path: string;
  /** The name under which the daemon goes. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly sockets: readonly InheritedSocket[];
  /** Fires when this daemon is to end: the other one ends with it. */
  readonly stop: AbortSignal;
  readonly kernel: Kernel;
  readonly log: Logger;
}

/** A process that is to come in this daemon's place. Disposing ends it, unless it has come. */
export interface Successor extends AsyncDisposable {
  readonly pid: number;
  /** Lets it begin; this daemon has let go of everything. Answers why it failed, undefined when it serves. It is gone then. */
  takeOver(heard: HeardBefore, signal: AbortSignal): Promise<string | undefined>;
  /** It is the service from now on. */
  confirm(): void;
}

/**
 * Starts another program with this daemon's sockets, and waits until it could begin. Nothing changes for this daemon.
 * Errors: invalidArgument (no such program), failedPrecondition (it ended, or said nothing in time), in its own words.
 */
export async function startSuccessor(options: SuccessorOptions): Promise<Successor> {
  const { kernel, log, sockets, program } = options;
  const { command, env } = successorCommand(options.path, program);
  const [ours, theirs] = kernel.socketPair();
  using given = new DisposableStack();
  given.defer(() => closeQuietly(kernel, theirs));
  // The first that follows the three streams is the channel.
  const handover: Handover = {
    protocol: 1,
    channel: 3,
    program,
    pid: process.pid,
    sockets: sockets.map(({ ownsFile, asked }, n) => ({ fd: 4 + n, ownsFile, asked })),
  };
  const channel = new HandoverChannel(kernel, ours, log);
  try {
    const child = Bun.spawn([...command, ...options.args], {
      env: { ...options.env, ...env, [handoverVariable]: JSON.stringify(handover) },
      stdio: ["ignore", "inherit", "inherit", theirs, ...sockets.map(({ fd }) => fd)],
    });
    given.dispose();
    const process = new SuccessorProcess(child, channel);
    await process.untilPrepared(command[0] ?? "", options.stop);
    log.info("another program is ready to take over", { pid: child.pid, program: command[0] });
    return process;
  } catch (error) {
    channel[Symbol.dispose]();
    if (error instanceof FaultError) throw error;
    throw invalidArgument(`start ${quote(command[0] ?? "")}: ${messageOf(error)}`);
  }
}

class SuccessorProcess implements Successor {
  readonly pid: number;
  readonly #child: Bun.Subprocess;
  readonly #channel: HandoverChannel;
  #confirmed = false;

  constructor(child: Bun.Subprocess, channel: HandoverChannel) {
    this.#child = child;
    this.#channel = channel;
    this.pid = child.pid;
  }

  async untilPrepared(program: string, stop: AbortSignal): Promise<void> {
    const failure = await this.#failure("prepared", AbortSignal.any([stop, AbortSignal.timeout(prepareLimitMs)]));
    if (failure !== undefined)
      throw new FaultError("failedPrecondition", `${program} is not fit to take over: ${failure}`);
  }

  takeOver(heard: HeardBefore, signal: AbortSignal): Promise<string | undefined> {
    this.#channel.send({ type: "go", ...heard });
    return this.#failure("ready", AbortSignal.any([signal, AbortSignal.timeout(startLimitMs)]));
  }

  confirm(): void {
    this.#confirmed = true;
    this.#channel.send({ type: "main" });
    this.#channel[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#confirmed) return;
    this.#child.kill("SIGKILL");
    await this.#end();
  }

  /** Waits for a message; answers what came in its place. Whoever failed is ended, lest it go on half-way. */
  async #failure(wanted: "prepared" | "ready", signal: AbortSignal): Promise<string | undefined> {
    const message = await this.#channel.next(signal);
    if (message?.type === wanted) return undefined;
    const isLate = message === undefined && signal.aborted && this.#child.exitCode === null;
    // At once: one whose line is closed before it has the place takes this daemon for dead, and goes on without.
    if (isLate) this.#child.kill("SIGKILL");
    await this.#end();
    if (message?.type === "failed") return message.reason;
    if (isLate) return isTimeout(signal.reason) ? "it said nothing in time" : "the daemon stops";
    return `it ended with ${this.#child.signalCode ?? this.#child.exitCode}`;
  }

  /** What it had taken goes with it: locks, connections, its share of the sockets. */
  async #end(): Promise<void> {
    this.#channel[Symbol.dispose]();
    // One that ends of itself, for which it closed the line, is given the moment that it needs to say why.
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 1000);
    await this.#child.exited;
    clearTimeout(late);
  }
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}

/** The program that takes over. A compiled one goes by a variable, whatever its file is called. */
function successorCommand(path: string, program: string): OwnProgram {
  const env = { LIGHTER_PROGRAM: program };
  if (path === "") return { command: ownProgram("lighterd").command, env };
  if (!isAbsolute(path)) throw invalidArgument(`the program's path must be absolute: ${quote(path)}`);
  return { command: [path], env };
}
