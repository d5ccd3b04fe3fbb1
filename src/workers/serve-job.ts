import { readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { FaultError, messageOf } from "../lib/faults.ts";
import { createKernel, type Kernel, SysError } from "../sys/index.ts";
import type { WorkerJobs, WorkerName } from "./jobs.ts";

/**
 * Does one job; the process ends with it. `nextLine` waits for another line of standard input, after the job's own; it is
 * undefined at the end. `pieces` reads as bytes what is left there, each piece the reader's only until the next.
 */
export type JobHandler<N extends WorkerName> = (
  job: WorkerJobs[N]["job"],
  kernel: Kernel,
  nextLine: () => string | undefined,
  pieces: () => Iterable<Uint8Array>,
) => WorkerJobs[N]["result"] | Promise<WorkerJobs[N]["result"]>;

const replyFd = 3;
/** The file that a caller hands over with the job; where many jobs come, the socket that brings theirs. */
export const givenFd = 4;
const newline = 0x0a;
/** As much of standard input is read at once. */
const lineBytes = 1 << 16;
const pieceBytes = 1 << 18;

/**
 * A worker's whole life: takes its job from standard input, does it, answers on descriptor 3.
 * Effects: dies with its parent; takes file modes as they are given.
 */
export async function serveJob<N extends WorkerName>(handler: JobHandler<N>): Promise<never> {
  const kernel = createKernel();
  kernel.dieWithParent(constants.signals.SIGKILL);
  try {
    const { nextLine, pieces } = openInput();
    const line = nextLine();
    if (line === undefined) throw new FaultError("invalidArgument", "no job");
    const { parent, job } = JSON.parse(line) as { parent: number; job: WorkerJobs[N]["job"] };
    // The parent may have ended before its death could be asked for.
    if (process.ppid !== parent) process.exit(1);
    process.umask(0);
    reply({ result: await handler(job, kernel, nextLine, pieces) });
    process.exit(0);
  } catch (error) {
    const { kind, message } = asFault(error);
    reply({ error: { kind, message } });
    process.exit(1);
  }
}

/** As a JobHandler, with the descriptors that came with the job, which are the handler's to close. */
export type FilesJobHandler<N extends WorkerName> = (
  job: WorkerJobs[N]["job"],
  kernel: Kernel,
  nextLine: () => string | undefined,
  files: readonly number[],
) => Promise<WorkerJobs[N]["result"]>;

/**
 * The life of a worker that does one job after another until standard input ends: each is a line there and a message with
 * descriptors on descriptor 4, which was sent before it. One that fails is the last.
 * Effects: as serveJob.
 */
export async function serveJobs<N extends WorkerName>(handler: FilesJobHandler<N>): Promise<never> {
  const kernel = createKernel();
  kernel.dieWithParent(constants.signals.SIGKILL);
  const { nextLine } = openInput();
  try {
    process.umask(0);
    for (let line = nextLine(); line !== undefined; line = nextLine()) {
      const { parent, job } = JSON.parse(line) as { parent: number; job: WorkerJobs[N]["job"] };
      if (process.ppid !== parent) process.exit(1);
      const files = kernel.receiveFds(givenFd)?.fds ?? [];
      reply({ result: await handler(job, kernel, nextLine, files) });
    }
    process.exit(0);
  } catch (error) {
    const { kind, message } = asFault(error);
    reply({ error: { kind, message } });
    process.exit(1);
  }
}

/** Reads standard input line by line; what follows the last line's end is none. */
function openInput(): { nextLine: () => string | undefined; pieces: () => Iterable<Uint8Array> } {
  let held: Buffer = Buffer.alloc(0);
  const nextLine = (): string | undefined => {
    for (;;) {
      const end = held.indexOf(newline);
      if (end >= 0) {
        const line = held.toString("utf8", 0, end);
        held = held.subarray(end + 1);
        return line;
      }
      const buffer = Buffer.allocUnsafe(lineBytes);
      const count = readSync(0, buffer, 0, lineBytes, null);
      if (count === 0) return undefined;
      held = held.length === 0 ? buffer.subarray(0, count) : Buffer.concat([held, buffer.subarray(0, count)]);
    }
  };
  function* pieces(): Generator<Uint8Array> {
    if (held.length > 0) yield held;
    held = Buffer.alloc(0);
    const buffer = Buffer.allocUnsafeSlow(pieceBytes);
    for (let count = read(buffer); count > 0; count = read(buffer)) yield buffer.subarray(0, count);
  }
  return { nextLine, pieces };
}

/** Waits for some of standard input. */
function read(buffer: Buffer): number {
  return readSync(0, buffer, 0, buffer.length, null);
}

/** Any failure as a fault, Node's system errors by their errno. */
export function asFault(error: unknown): FaultError {
  if (error instanceof FaultError) return error;
  if (error instanceof Error && "errno" in error && typeof error.errno === "number" && error.errno < 0) {
    const call = "syscall" in error && typeof error.syscall === "string" ? error.syscall : "system call";
    return new SysError(call, -error.errno);
  }
  return new FaultError("unknown", messageOf(error), { cause: error });
}

/** Tells the caller how far a job is, before its answer. */
export function tellOffset(offset: number): void {
  reply({ offset });
}

function reply(answer: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(answer)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(replyFd, bytes, at);
}
