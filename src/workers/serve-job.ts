import { readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { FaultError, messageOf } from "../lib/faults.ts";
import { createKernel, type Kernel, SysError } from "../sys/index.ts";
import type { WorkerJobs, WorkerName } from "./jobs.ts";

/** Does one job; the process ends with it. `input` is what follows the job on standard input. */
export type JobHandler<N extends WorkerName> = (
  job: WorkerJobs[N]["job"],
  kernel: Kernel,
  input: AsyncIterable<Uint8Array>,
) => WorkerJobs[N]["result"] | Promise<WorkerJobs[N]["result"]>;

const replyFd = 3;
const newline = 0x0a;
/** As much as is read at once while the job's line is looked for. */
const lineBytes = 1 << 16;

/**
 * A worker's whole life: takes its job from standard input, does it, answers on descriptor 3.
 * Effects: dies with its parent; takes file modes as they are given.
 */
export async function serveJob<N extends WorkerName>(handler: JobHandler<N>): Promise<never> {
  const kernel = createKernel();
  kernel.dieWithParent(constants.signals.SIGKILL);
  try {
    const { line, rest } = readLine();
    const { parent, job } = JSON.parse(line) as { parent: number; job: WorkerJobs[N]["job"] };
    // The parent may have ended before its death could be asked for.
    if (process.ppid !== parent) process.exit(1);
    process.umask(0);
    reply({ result: await handler(job, kernel, inputAfter(rest)) });
    process.exit(0);
  } catch (error) {
    const { kind, message } = asFault(error);
    reply({ error: { kind, message } });
    process.exit(1);
  }
}

/** Standard input up to its first line's end, and what was read beyond that. */
function readLine(): { readonly line: string; readonly rest: Uint8Array } {
  const parts: Buffer[] = [];
  for (;;) {
    const buffer = Buffer.allocUnsafe(lineBytes);
    const piece = buffer.subarray(0, readSync(0, buffer, 0, lineBytes, null));
    const end = piece.indexOf(newline);
    parts.push(end < 0 ? piece : piece.subarray(0, end));
    if (end >= 0) return { line: Buffer.concat(parts).toString(), rest: piece.subarray(end + 1) };
    if (piece.length === 0) throw new FaultError("invalidArgument", "no job");
  }
}

async function* inputAfter(rest: Uint8Array): AsyncGenerator<Uint8Array> {
  if (rest.length > 0) yield rest;
  yield* Bun.stdin.stream();
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

function reply(answer: unknown): void {
  const bytes = Buffer.from(JSON.stringify(answer));
  for (let at = 0; at < bytes.length; ) at += writeSync(replyFd, bytes, at);
}
