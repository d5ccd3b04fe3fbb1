import { readFileSync, rmSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";
import type { HostParts } from "../parts.ts";
import { readStat, waitForEnd } from "../process/process-handle.ts";
import { lacksProgram, type ProgramSpec, programOf } from "../runtime/missing-program.ts";
import { readPidFile } from "./pid-file.ts";

/** How long a process that is killed may take to end. */
const endLimitMs = 5_000;
const sigkill = 9;

/** The program of an exec, by the file that its runtime gets. */
export function programOfExec(processFile: string): ProgramSpec | undefined {
  return programOf(JSON.parse(readFileSync(processFile, "utf8")));
}

/**
 * Runs a runtime that is about to fail for want of the program, without the streams of its process: what it says of the
 * failure on stderr, besides in its log, comes to no client then, as under containerd.
 * Errors: the runtime's. Effects: nothing where the program may be there; one that there was after all, since another put
 * it there this very moment, has been ended again. Answers whether that happened.
 */
export async function runHopeless(
  parts: HostParts,
  root: string,
  program: ProgramSpec | undefined,
  pidFile: string,
  run: () => Promise<void>,
): Promise<boolean> {
  const { kernel, watcher } = parts;
  if (program === undefined || !lacksProgram(kernel, root, program)) return false;
  await run();
  const pid = readPidFile(pidFile);
  const startTime = readStat(pid)?.startTime;
  rmSync(pidFile, { force: true });
  if (startTime === undefined) return true;
  kernel.kill(pid, sigkill);
  await waitForEnd(kernel, watcher, { pid, startTime }, endLimitMs);
  try {
    kernel.reap(pid);
  } catch (error) {
    if (!isErrno(error, "ECHILD")) throw error;
  }
  return true;
}
