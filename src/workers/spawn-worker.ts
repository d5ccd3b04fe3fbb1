import { join } from "node:path";
import { FaultError, type FaultKind, fault, kindText } from "../lib/faults.ts";
import { type Capability, createKernel } from "../sys/index.ts";
import { inUserNamespace } from "./enter-tree.ts";
import type { WorkerJobs, WorkerName } from "./jobs.ts";
import { ReplyChannel } from "./reply-channel.ts";

export interface WorkerRunOptions {
  /** Kills the worker when it fires. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Lines that go to the worker after the job, at the worker's pace. A worker that ends early is answered for at once,
   * whether another line is still awaited or not.
   */
  readonly lines?: AsyncIterable<string> | undefined;
  /** Bytes that go to the worker after the job, in place of lines; each piece is taken before the next is asked for. */
  readonly input?: AsyncIterable<Uint8Array> | undefined;
  /** Told how far a job is that tells it. */
  readonly onOffset?: ((offset: number) => void) | undefined;
  /** A file that the worker gets as a descriptor; the caller's own is the caller's to close, at any time. */
  readonly file?: number | undefined;
  /** The capabilities that it starts with, where this is root of the machine; all that this process has when left out. */
  readonly rights?: readonly Capability[] | undefined;
  /** Takes what the worker writes to standard output, piece by piece; the worker waits while one is being taken. */
  readonly output?: ((bytes: Uint8Array) => Promise<void>) | undefined;
}

/** What a worker writes to its fourth descriptor. */
export type WorkerReply<R> =
  | { readonly result: R }
  | { readonly error: { readonly kind: string; readonly message: string } };

/** What LIGHTER_PROGRAM says to the one executable that is to be a worker; the worker's name is its only argument. */
export const workerProgram = "lighter-worker";

/** The most that is kept of what a worker says on standard error. */
export const stderrLimit: number = 16 * 1024;
/** Where the modules of the one executable lie. Source: bun.com/docs/bundler/executables. */
const compiledPrefix = "/$bunfs/";

/**
 * Runs a job in a process of its own, which dies with this one and is killed with the signal.
 * Errors: what the worker answered; unknown when it died, with what it said on standard error; what the signal says.
 * Effects: a process of some 20 MB for as long as the job takes, 30 ms at least.
 */
export async function spawnWorker<N extends WorkerName>(
  name: N,
  job: WorkerJobs[N]["job"],
  options: WorkerRunOptions = {},
): Promise<WorkerJobs[N]["result"]> {
  options.signal?.throwIfAborted();
  const { command, env } = workerCommand(name);
  const { child, replies } = ReplyChannel.startWith((reply) => {
    const output = options.output === undefined ? "ignore" : "pipe";
    const file = options.file === undefined ? [] : [options.file];
    // Nothing in the caller's working folder or environment may change what the runtime does.
    const start = () => Bun.spawn(command, { cwd: "/", env, stdio: ["pipe", output, "pipe", reply, ...file] });
    const isRoot = process.getuid?.() === 0 && !inUserNamespace();
    return options.rights === undefined || !isRoot ? start() : createKernel().startWith(options.rights, start);
  });
  const kill = (): void => child.kill("SIGKILL");
  options.signal?.addEventListener("abort", kill, { once: true });
  try {
    let broken: { readonly error: unknown } | undefined;
    send(child.stdin, JSON.stringify({ parent: process.pid, job }), options).catch((error: unknown) => {
      // A failure of the lines ends the worker, and is the one to tell.
      broken = { error };
      kill();
    });
    const [reply, stderr] = await Promise.all([
      replies.answer(options.onOffset),
      readText(child.stderr as ReadableStream<Uint8Array>, stderrLimit),
      options.output === undefined ? undefined : drain(child.stdout as ReadableStream<Uint8Array>, options.output),
    ]);
    await child.exited;
    options.signal?.throwIfAborted();
    if (broken !== undefined) throw (broken as { readonly error: unknown }).error;
    return resultOf(name, reply, stderr, String(child.signalCode ?? `exit code ${child.exitCode}`));
  } finally {
    options.signal?.removeEventListener("abort", kill);
    if (child.exitCode === null && child.signalCode === null) kill();
    await Promise.all([child.exited, replies.ended]);
  }
}

/** How a worker is started. */
export function workerCommand(name: WorkerName): { command: string[]; env: Record<string, string> } {
  if (!import.meta.path.startsWith(compiledPrefix)) {
    return { command: [process.execPath, join(import.meta.dir, `${name}.ts`)], env: {} };
  }
  // One executable under several names goes by this variable.
  return { command: [process.execPath, name], env: { LIGHTER_PROGRAM: workerProgram } };
}

/** What a worker said; `ending` and `stderr` tell of one that said nothing. */
export function resultOf<R>(name: string, reply: string, stderr: string, ending: string): R {
  if (reply === "") {
    const said = stderr.trim() === "" ? "" : `: ${stderr.trim()}`;
    throw new FaultError("unknown", `worker ${name} ended with ${ending}${said}`);
  }
  const answer = JSON.parse(reply) as WorkerReply<R>;
  if ("result" in answer) return answer.result;
  const { kind, message } = answer.error;
  throw Object.hasOwn(kindText, kind) ? new FaultError(kind as FaultKind, message) : fault("unknown", message);
}

/** Errors: what the lines' source says. */
async function send(
  stdin: Bun.FileSink,
  job: string,
  { lines, input }: Pick<WorkerRunOptions, "lines" | "input">,
): Promise<void> {
  const put = async (what: string | Uint8Array): Promise<boolean> => {
    try {
      await stdin.write(what);
      await stdin.flush();
      return true;
    } catch {
      // The worker is gone already: how it ended says more than that it took no more.
      return false;
    }
  };
  let taken = await put(`${job}\n`);
  if (taken && lines !== undefined) {
    for await (const line of lines) {
      taken = await put(`${line}\n`);
      if (!taken) break;
    }
  }
  if (taken && input !== undefined) {
    for await (const piece of input) {
      taken = await put(piece);
      if (!taken) break;
    }
  }
  try {
    await stdin.end();
  } catch {
    // As above.
  }
}

/** The first bytes of a stream, which is read to its end. */
export async function readText(stream: ReadableStream<Uint8Array>, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    if (size < limit) chunks.push(chunk);
    size += chunk.length;
  }
  return Buffer.concat(chunks).subarray(0, limit).toString();
}

async function drain(stream: ReadableStream<Uint8Array>, take: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  for await (const chunk of stream) await take(chunk);
}
