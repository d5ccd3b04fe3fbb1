import { rmSync } from "node:fs";
import { TaskExecStartedSchema, TaskStartSchema } from "../../gen/containerd/events/task_pb.ts";
import { FaultError } from "../../lib/faults.ts";
import { spanned, type Trace, type TraceAttributes } from "../../lib/trace.ts";
import { type HostParts, publish, save, topics } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import { execFifoPath, releaseInit } from "../runtime/exec-fifo.ts";
import { publishInitExitIfLast, watchExit } from "../task/exits.ts";
import { keepProcess, keepRelease } from "../task/keep.ts";
import type { Task } from "../task/task.ts";
import { dropTerminal, holdProcess, runWithStreams } from "./create.ts";
import { execFiles, removeExecFiles } from "./exec.ts";
import { programOfExec, runHopeless } from "./hopeless.ts";
import { readPidFile } from "./pid-file.ts";
import { restoreTask } from "./restore.ts";

/**
 * Starts init, or an exec that was added. Returns the process's number.
 * Errors: unknown (wrong state, or the runtime's message), notFound (exec), failedPrecondition (init has ended).
 * Effects: event /tasks/start or /tasks/exec-started, always before the process's exit event.
 */
export async function startProcess(parts: HostParts, task: Task, execId: string, trace?: Trace): Promise<number> {
  const process = task.process(execId);
  if (process === task.init) await startInit(parts, task, trace);
  else await startExec(parts, task, process, trace);
  return process.pid;
}

async function startInit(parts: HostParts, task: Task, trace: Trace | undefined): Promise<void> {
  using _lock = await task.lock.exclusive();
  const { init } = task;
  requireCreated(init);
  // Whatever becomes of init from here on is told after its start.
  init.handle?.holdExit();
  try {
    const name = task.checkpoint === "" ? "runtime start" : "runtime restore";
    await spanned(trace, name, attributesOf(task), () => releaseOrStart(parts, task));
    parts.failpoint("start.released");
    init.status = "running";
    task.begunAtMs = performance.now();
    publish(parts, task, topics.start, TaskStartSchema, { containerId: task.id, pid: init.pid });
    parts.failpoint("start.announced");
    save(parts, task);
    parts.failpoint("start.saved");
    // A restored init is held only now, and was watched by nobody yet.
    if (task.checkpoint !== "") watchExit(parts, task, init);
  } finally {
    init.handle?.resumeExit();
  }
}

async function releaseOrStart(parts: HostParts, task: Task): Promise<void> {
  if (task.checkpoint !== "") {
    await restoreTask(parts, task);
    return keepProcess(parts, task, task.init);
  }
  const { kernel, watcher } = parts;
  const { handle } = task.init;
  task.init.holdStdin();
  parts.failpoint("start.held");
  const kind = task.hasPoststartHooks ? "other" : await parts.kinds.of(task.runtimeRecord.binary);
  if (kind === "other" || handle === undefined) return task.runtime.start(task.id);
  const fifo = execFifoPath(task.runtimeRecord.root, task.id);
  const { pid, pidfd } = handle;
  await releaseInit(kind, { kernel, watcher, fifo, pid, pidfd }, (fd) => {
    parts.failpoint("start.reached");
    const kept = keepRelease(parts, task, kind, fd);
    parts.failpoint("start.opened");
    return kept;
  });
}

async function startExec(parts: HostParts, task: Task, exec: TaskProcess, trace: Trace | undefined): Promise<void> {
  using _lock = await task.lock.shared();
  requireCreated(exec);
  if (task.initExit !== undefined || task.init.status === "stopped") {
    throw new FaultError("failedPrecondition", `container ${task.id} init process is not running: failed precondition`);
  }
  const begun = Promise.withResolvers<void>();
  exec.starting = true;
  exec.begun = begun.promise;
  try {
    await spanned(trace, "runtime exec", { ...attributesOf(task), "exec.id": exec.execId }, () =>
      runExec(parts, task, exec),
    );
    exec.status = "running";
    publish(parts, task, topics.execStarted, TaskExecStartedSchema, {
      containerId: task.id,
      execId: exec.execId,
      pid: exec.pid,
    });
    parts.failpoint("exec-start.announced");
    save(parts, task);
    parts.failpoint("exec-start.saved");
    removeExecFiles(task, exec.execId);
  } catch (error) {
    exec.release();
    dropTerminal(exec);
    rmSync(execFiles(task, exec.execId).pidFile, { force: true });
    // As under containerd, Wait on an exec that could not start answers at once.
    exec.settleExited();
    throw error;
  } finally {
    exec.starting = false;
    begun.resolve();
    watchExit(parts, task, exec);
    publishInitExitIfLast(parts, task);
  }
}

async function runExec(parts: HostParts, task: Task, exec: TaskProcess): Promise<void> {
  const { processFile, pidFile, log } = execFiles(task, exec.execId);
  if (!exec.stdio.terminal) {
    const run = (): Promise<void> => task.runtime.exec(task.id, { processFile, pidFile, log, stdio: undefined });
    const root = `/proc/${task.init.pid}/root`;
    if (await runHopeless(parts, root, programOfExec(processFile), pidFile, run))
      throw new FaultError("unknown", "OCI runtime exec failed: the program came while it was looked for; try again");
  }
  await runWithStreams(parts, task, exec, async (streams) => {
    await task.runtime.exec(task.id, { processFile, pidFile, log, ...streams });
    parts.failpoint("exec-start.made");
    holdProcess(parts, exec, readPidFile(pidFile));
  });
  keepProcess(parts, task, exec);
  parts.failpoint("exec-start.kept");
}

function attributesOf({ id, runtimeRecord }: Task): TraceAttributes {
  return { "container.id": id, runtime: runtimeRecord.binary };
}

function requireCreated(process: TaskProcess): void {
  // Execs start side by side, but each only once.
  if (process.status === "created" && !process.starting) return;
  throw new FaultError("unknown", `cannot start a ${process.status === "stopped" ? "stopped" : "running"} process`);
}
