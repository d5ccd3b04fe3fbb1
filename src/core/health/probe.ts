import { closeSync, constants, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import path from "node:path";
import { type Ctx, throwIfAborted } from "../../lib/ctx.ts";
import { parseExactJson } from "../../lib/exact-json.ts";
import { type FaultKind, invalidArgument, isFault, messageOf } from "../../lib/faults.ts";
import { type HealthCheck, probeExecId } from "../../lib/health-labels.ts";
import { settledWithin, type Timers } from "../../lib/timers.ts";
import { isErrno, type Kernel } from "../../sys/index.ts";
import { anyOfJson, anyToJson, ociTypeUrls } from "../../wire/any.ts";
import type { Task, TaskManager } from "../tasks/index.ts";
import { outputMaxBytes, type ProbeResult } from "./health-state.ts";

export interface ProbeParts {
  readonly tasks: Pick<TaskManager, "get">;
  readonly kernel: Pick<Kernel, "mkfifo">;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Where pipes are made for the time of a check. */
  readonly pipes: string;
}

export interface Probe {
  readonly ctx: Ctx;
  readonly id: string;
  readonly check: HealthCheck;
  /** The container's spec, as its record has it. */
  readonly spec: Parameters<typeof anyToJson>[0];
}

const sigkill = 9;
/** A check that was killed is waited for no longer: its container may be frozen. The next one removes it. */
const killWaitMs = 5_000;
/** What a check prints is taken out of its pipe this often: a pipe holds 64 KiB, so that few ever wait for it. */
const drainMs = 50;
/** And so much of it at most. */
const drainBytes = 1024 * 1024;

/**
 * Runs a check in a container: another process beside its first one, with that one's user, folder, environment and rights.
 * Errors: none that is the check's own: one that can't be run, or takes too long, has the exit code -1. Rejects when the signal
 * fires, or the task is gone.
 * Effects: nothing of it is left, but for one that can't be killed just now.
 */
export async function runProbe(parts: ProbeParts, probe: Probe): Promise<ProbeResult> {
  const { tasks, now } = parts;
  const { ctx, id, check } = probe;
  const task = await tasks.get(ctx, id);
  throwIfAborted(ctx.signal);
  using pipe = openPipe(parts, ctx.namespace ?? "", id);
  const startedMs = now();
  const done = (exitCode: number, output: string): ProbeResult => ({ startedMs, endedMs: now(), exitCode, output });
  try {
    await begin(task, pipe.path, processOf(probe));
  } catch (error) {
    await clearProbe(parts.timers, task).catch(() => undefined);
    throwIfAborted(ctx.signal);
    return done(-1, messageOf(error));
  }
  const end = await ended(parts, probe, task, pipe);
  const output = pipe.output();
  if (end !== "late") return done(end, output);
  const said = `Health check exceeded timeout (${check.timeoutMs / 1000}s)`;
  return done(-1, output === "" ? said : `${said}: ${output}`);
}

/** Ends and removes a check that an earlier daemon left, or one that could not be killed. Errors: what the shim says. */
export async function clearProbe(timers: Timers, task: Task): Promise<void> {
  // One that has ended, or was never started, goes at once.
  if (await removed(task, ["failedPrecondition", "unknown", "internal"])) return;
  await task.kill(probeExecId, { signal: sigkill, all: false }).catch((error: unknown) => {
    // Ended just now: that is told in several ways.
    if (isFault(error, "unavailable")) throw error;
  });
  const waiting = new AbortController();
  await settledWithin(timers, task.wait(probeExecId, waiting.signal), killWaitMs);
  waiting.abort();
  await removed(task, []);
}

/** Removes a check's process; false when it is refused in one of these ways, as one that runs is. */
async function removed(task: Task, refusals: readonly FaultKind[]): Promise<boolean> {
  try {
    await task.deleteProcess(probeExecId);
  } catch (error) {
    if (isFault(error, "notFound")) return true;
    if (refusals.some((kind) => isFault(error, kind))) return false;
    throw error;
  }
  return true;
}

async function begin(task: Task, pipe: string, process: object): Promise<void> {
  await task.exec({
    execId: probeExecId,
    io: { stdin: "", stdout: pipe, stderr: pipe, terminal: false },
    spec: anyOfJson(ociTypeUrls.process, process),
  });
  await task.start(probeExecId);
}

async function ended(parts: ProbeParts, { ctx, check }: Probe, task: Task, pipe: Pipe): Promise<number | "late"> {
  const { timers } = parts;
  const over = new AbortController();
  const onAbort = (): void => over.abort();
  ctx.signal.addEventListener("abort", onAbort);
  using _timer = timers.after(check.timeoutMs, () => over.abort());
  let end: number | "late" = "late";
  try {
    end = (await task.wait(probeExecId, over.signal)).exitStatus;
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    ctx.signal.removeEventListener("abort", onAbort);
    pipe.drain();
    if (end === "late") await clearProbe(timers, task).catch(() => undefined);
    else await task.deleteProcess(probeExecId).catch(() => undefined);
    pipe.drain();
  }
  throwIfAborted(ctx.signal);
  return end;
}

function processOf({ spec, check }: Probe): object {
  const whole = spec === undefined ? undefined : anyToJson(spec, parseExactJson);
  const own = typeof whole === "object" && whole !== null ? (whole as Record<string, unknown>)["process"] : undefined;
  if (typeof own !== "object" || own === null) throw invalidArgument("its spec has no process");
  const { consoleSize: _, ...rest } = own as Record<string, unknown>;
  return { ...rest, args: [...check.args], terminal: false };
}

interface Pipe extends Disposable {
  readonly path: string;
  /** Takes out what is there. */
  drain(): void;
  /** The beginning of what was taken out. */
  output(): string;
}

/** A pipe that is never full for long, and of which the beginning is kept. Effects: removed when disposed of. */
function openPipe({ kernel, timers, pipes }: ProbeParts, namespace: string, id: string): Pipe {
  mkdirSync(pipes, { recursive: true, mode: 0o711 });
  const file = path.join(pipes, `${namespace}+${id}`);
  rmSync(file, { force: true });
  kernel.mkfifo(file, 0o600);
  const fd = openSync(file, constants.O_RDWR | constants.O_NONBLOCK);
  const kept = Buffer.alloc(outputMaxBytes);
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let length = 0;
  const drain = (): void => {
    for (let taken = 0; taken < drainBytes; ) {
      const count = readSome(fd, buffer);
      if (count === 0) return;
      taken += count;
      length += buffer.copy(kept, length, 0, count);
    }
  };
  const again = (): Disposable =>
    timers.after(drainMs, () => {
      drain();
      timer = again();
    });
  let timer = again();
  return {
    path: file,
    drain,
    output: () => kept.toString("utf8", 0, length),
    [Symbol.dispose]: () => {
      timer[Symbol.dispose]();
      closeSync(fd);
      rmSync(file, { force: true });
    },
  };
}

function readSome(fd: number, buffer: Uint8Array): number {
  try {
    return readSync(fd, buffer);
  } catch (error) {
    if (isErrno(error, "EAGAIN")) return 0;
    throw error;
  }
}
