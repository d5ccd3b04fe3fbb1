import { readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { FaultError, messageOf } from "../lib/faults.ts";
import { createKernel, type Kernel, SysError } from "../sys/index.ts";
import type { WorkerJobs, WorkerName } from "./jobs.ts";

/** Does one job; the process ends with it. */
export type JobHandler<N extends WorkerName> = (
  job: WorkerJobs[N]["job"],
  kernel: Kernel,
) => WorkerJobs[N]["result"] | Promise<WorkerJobs[N]["result"]>;

const replyFd = 3;

/**
 * A worker's whole life: takes its job from standard input, does it, answers on descriptor 3.
 * Effects: dies with its parent; takes file modes as they are given.
 */
export async function serveJob<N extends WorkerName>(handler: JobHandler<N>): Promise<never> {
  const kernel = createKernel();
  kernel.dieWithParent(constants.signals.SIGKILL);
  try {
    const { parent, job } = JSON.parse(readFileSync(0, "utf8")) as { parent: number; job: WorkerJobs[N]["job"] };
    // The parent may have ended before its death could be asked for.
    if (process.ppid !== parent) process.exit(1);
    process.umask(0);
    reply({ result: await handler(job, kernel) });
    process.exit(0);
  } catch (error) {
    const { kind, message } = asFault(error);
    reply({ error: { kind, message } });
    process.exit(1);
  }
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
