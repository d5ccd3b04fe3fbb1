import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { TaskExitSchema, TaskStartSchema } from "../gen/containerd/events/task_pb.ts";
import { messageOf } from "../lib/faults.ts";
import { isErrno, OwnedFd, openFlags, unmountAll } from "../sys/index.ts";
import { finishDelete } from "./delete.ts";
import { execFiles } from "./exec.ts";
import { recordExit, watchExit } from "./exits.ts";
import { watchOom } from "./oom.ts";
import { createRuntime, type HostParts, publish, save, topics } from "./parts.ts";
import { TaskProcess } from "./process.ts";
import { ProcessHandle, readStat, waitForEnd } from "./process-handle.ts";
import { execFifoPath } from "./runtime/exec-fifo.ts";
import type { TaskRecord } from "./state/records.ts";
import { Task } from "./task.ts";
import { endHolder, takeMaster } from "./terminal/master-holder.ts";
import { Terminal } from "./terminal/terminal.ts";

export interface BrokenTask {
  readonly namespace: string;
  readonly id: string;
  readonly reason: string;
}

/**
 * Takes up what an earlier host left: living processes are adopted, exits that nobody saw are published, half-made
 * creations are undone and half-done deletes are finished.
 * Effects: one task that can't be read, or taken up, hides no other.
 */
export async function recoverTasks(parts: HostParts): Promise<{ broken: Map<string, BrokenTask> }> {
  const broken = new Map<string, BrokenTask>();
  for (const found of parts.states.load()) {
    if ("reason" in found) {
      parts.log.error("the state of a task can't be read", { ...found });
      broken.set(`${found.namespace}/${found.id}`, found);
      continue;
    }
    try {
      await recoverTask(parts, found.record);
    } catch (error) {
      const reason = messageOf(error);
      parts.log.error("a task can't be taken up", { namespace: found.namespace, id: found.id, error });
      broken.set(`${found.namespace}/${found.id}`, { namespace: found.namespace, id: found.id, reason });
    }
  }
  return { broken };
}

async function recoverTask(parts: HostParts, record: TaskRecord): Promise<void> {
  const task = taskOf(parts, record);
  if (task.phase !== "ready") await endRuntimeCommands(parts, task);
  if (task.phase === "creating") return await undoCreate(parts, task);
  parts.tasks.add(task);
  for (const exec of task.execs.values()) await adopt(parts, task, exec);
  await adopt(parts, task, task.init);
  if (task.phase === "deleting") await finishDelete(parts, task);
  else save(parts, task);
}

function taskOf(parts: HostParts, record: TaskRecord): Task {
  const { runtime: runtimeRecord, bundle } = record;
  const runtime = createRuntime(parts, runtimeRecord, bundle);
  const task = new Task({ ...record, runtimeRecord, runtime, init: TaskProcess.fromRecord(record.init) });
  task.phase = record.phase;
  task.cgroup = record.cgroup;
  for (const exec of record.execs) task.execs.set(exec.execId, TaskProcess.fromRecord(exec));
  return task;
}

async function undoCreate(parts: HostParts, task: Task): Promise<void> {
  await task.runtime.delete(task.id, { force: true });
  if (task.hasRootfsMounts) unmountAll(parts.kernel, join(task.bundle, "rootfs"));
  parts.states.remove(task.namespace, task.id);
}

async function adopt(parts: HostParts, task: Task, process: TaskProcess): Promise<void> {
  if (process.status === "stopped") return;
  if (process.pid === 0) return forgetHalfStarted(parts, task, process);
  if (isAlive(process)) {
    holdAgain(parts, task, process);
    await adoptTerminal(parts, task, process);
    if (process === task.init) {
      noticeStart(parts, task);
      watchOom(parts, task);
    }
    watchExit(parts, task, process);
    return;
  }
  recordExit(parts, task, process, journaledExit(parts, task, process));
}

function isAlive(process: TaskProcess): boolean {
  return readStat(process.pid)?.startTime === process.startTime;
}

function holdAgain(parts: HostParts, task: Task, process: TaskProcess): void {
  const { kernel, watcher, now } = parts;
  const { pid, startTime } = process;
  const pidfd = kernel.pidfdOpen(pid);
  process.handle = new ProcessHandle({ kernel, watcher, pid, startTime, pidfd, now });
  reopenStdin(parts, task, process);
}

/** The relay of a terminal goes on from the master that its holder kept. */
async function adoptTerminal(parts: HostParts, task: Task, process: TaskProcess): Promise<void> {
  if (!process.stdio.terminal || process.holder === undefined) return;
  const { kernel, watcher } = parts;
  const master = takeMaster(kernel, process.holder);
  if (master === undefined) {
    parts.log.warn("a terminal is lost: its master can't be taken", { id: task.id, exec: process.execId });
    return;
  }
  const id = process.execId === "" ? task.id : process.execId;
  const { stdio, stdinClosed } = process;
  try {
    process.terminal = await Terminal.open({
      kernel,
      watcher,
      master,
      stdio,
      id,
      namespace: task.namespace,
      adopted: true,
      stdinClosed,
    });
    const { holder } = process;
    void process.terminal.drained.then(() => endHolder(kernel, holder));
  } catch (error) {
    parts.log.warn("a terminal's streams can't be opened again", { id: task.id, exec: process.execId, error });
  }
}

/** The writer that keeps stdin from ending died with the earlier host; a FIFO without a reader needs none. */
function reopenStdin({ kernel, log }: HostParts, task: Task, process: TaskProcess): void {
  const { stdin, terminal } = process.stdio;
  if (stdin === "" || terminal || process.stdinClosed) return;
  try {
    process.stdinWriter = new OwnedFd(kernel, kernel.open(stdin, openFlags.writeOnly | openFlags.nonBlock));
  } catch (error) {
    if (!isErrno(error, "ENXIO", "ENOENT")) log.warn("could not hold stdin again", { id: task.id, error });
  }
}

/** A start whose last line the earlier host did not reach: init runs once its FIFO is gone. */
function noticeStart(parts: HostParts, task: Task): void {
  if (task.init.status !== "created") return;
  const waiting = existsSync(execFifoPath(task.runtimeRecord.root, task.id));
  if (waiting) return;
  task.init.status = "running";
  const told = parts.journal.kept().some((event) => {
    if (event.topic !== topics.start || event.namespace !== task.namespace || event.event === undefined) return false;
    return fromBinary(TaskStartSchema, event.event.value).pid === task.init.pid;
  });
  if (!told) publish(parts, task, topics.start, TaskStartSchema, { containerId: task.id, pid: task.init.pid });
}

/** A start of an exec that the earlier host did not live to see: its caller was told nothing, so it is undone. */
function forgetHalfStarted(parts: HostParts, task: Task, exec: TaskProcess): void {
  if (exec === task.init) return;
  const { pidFile } = execFiles(task, exec.execId);
  if (!existsSync(pidFile)) return;
  const pid = Number(readFileSync(pidFile, "utf8").trim());
  try {
    if (pid > 0) parts.kernel.kill(pid, 9);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

/** An exit that reached the journal but not the state. */
function journaledExit(parts: HostParts, task: Task, process: TaskProcess): { status: number; at: Date } | undefined {
  const id = process.execId === "" ? task.id : process.execId;
  for (const event of parts.journal.kept()) {
    if (event.topic !== topics.exit || event.namespace !== task.namespace || event.event === undefined) continue;
    const exit = fromBinary(TaskExitSchema, event.event.value);
    if (exit.containerId === task.id && exit.id === id && exit.pid === process.pid) {
      return { status: exit.exitStatus, at: new Date(Number(exit.exitedAt?.seconds ?? 0n) * 1000) };
    }
  }
  return undefined;
}

/** Runtime commands for this task that outlived the host which started them. */
async function endRuntimeCommands(parts: HostParts, task: Task): Promise<void> {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const args = commandLine(pid);
    if (!args.includes(task.runtimeRecord.root) || args.at(-1) !== task.id) continue;
    const startTime = readStat(pid)?.startTime ?? 0;
    try {
      parts.kernel.kill(pid, 9);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
    await waitForEnd(parts.kernel, parts.watcher, { pid, startTime }, 5000);
  }
}

function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}
