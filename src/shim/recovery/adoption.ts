import { existsSync, readFileSync } from "node:fs";
import { messageOf } from "../../lib/faults.ts";
import { closeQuietly, isErrno, OwnedFd, openFlags } from "../../sys/index.ts";
import { locateCgroup } from "../cgroup/locate.ts";
import { drawers } from "../keeper/kept.ts";
import { execFiles } from "../operations/exec.ts";
import type { HostParts } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import { ProcessHandle, readStat } from "../process/process-handle.ts";
import { recordExit, watchExit } from "../task/exits.ts";
import { journaledExit, publishStart } from "../task/journaled.ts";
import { keepProcess, keptRecord } from "../task/keep.ts";
import { watchOom } from "../task/oom.ts";
import { initPidFile, type Task } from "../task/task.ts";
import { Terminal } from "../terminal/terminal.ts";
import { takeUpStart } from "./release.ts";

/**
 * Takes up one process of an earlier host: a living one is held and watched, of one that has ended the exit is published.
 * Shape: the pidfd that was kept tells the exit of a process that is gone; without one it is unknown, and said to be.
 */
export async function adoptProcess(parts: HostParts, task: Task, process: TaskProcess): Promise<void> {
  if (process.status === "stopped") return drainAgain(parts, task, process);
  if (process.pid === 0 && !finishStart(parts, task, process)) return;
  const journaled = journaledExit(parts, task, process);
  if (journaled !== undefined || !holdAgain(parts, task, process)) {
    if (process === task.init) takeUpStart(parts, task);
    return recordExit(parts, task, process, journaled);
  }
  await adoptTerminal(parts, task, process);
  parts.logs.watch(process.stdio.stdout);
  if (process === task.init) {
    if (!(await waitsByItsRuntime(parts, task))) takeUpStart(parts, task);
    watchOom(parts, task);
  }
  if (process.kept === undefined) keepProcess(parts, task, process);
  watchExit(parts, task, process);
}

/** Whether a living init waits for its start, where only its runtime can tell. */
async function waitsByItsRuntime(parts: HostParts, task: Task): Promise<boolean> {
  const { binary } = task.runtimeRecord;
  if (task.init.status !== "created" || (await parts.kinds.of(binary)) !== "other") return false;
  try {
    return (await task.runtime.state(task.id)) === "created";
  } catch (error) {
    parts.log.warn("a runtime can't tell the state of a container", { id: task.id, binary, error: messageOf(error) });
    return true; // as it was recorded; a start will tell
  }
}

/** Takes hold of a process that lives, or whose pidfd was kept, so that its exit can be asked for; false when neither. */
function holdAgain(parts: HostParts, task: Task, process: TaskProcess): boolean {
  const { kernel, watcher, now } = parts;
  const { pid, startTime } = process;
  const taken = parts.keeper.take(keptRecord(task, process));
  process.kept = taken?.kept;
  const isAlive = readStat(pid)?.startTime === startTime;
  const pidfd = taken?.pidfd ?? (isAlive ? kernel.pidfdOpen(pid) : undefined);
  if (pidfd === undefined) return false;
  process.handle = new ProcessHandle({ kernel, watcher, pid, startTime, pidfd, now });
  if (!process.stdio.terminal && !process.stdinClosed) takeStdin(parts, task, process);
  return true;
}

function takeStdin(parts: HostParts, task: Task, process: TaskProcess): void {
  const writer = process.kept?.copies(drawers.stdin).get("writer");
  if (writer !== undefined) {
    process.stdinWriter = new OwnedFd(parts.kernel, writer);
    return;
  }
  reopenStdin(parts, task, process);
  if (process.stdinWriter === undefined) return;
  // Nobody had kept it: the earlier host died before the start, or without a keeper.
  const earlier = process.kept;
  keepProcess(parts, task, process);
  earlier?.yield();
}

/** The relay of a terminal goes on from what was kept of it. */
async function adoptTerminal(parts: HostParts, task: Task, process: TaskProcess): Promise<void> {
  if (!process.stdio.terminal) return;
  const { kernel, watcher } = parts;
  const { stdio, kept } = process;
  const streams = kept?.copies(drawers.terminal);
  if (kept === undefined || streams === undefined) {
    parts.log.warn("a terminal is lost: nobody kept its master", { id: task.id, exec: process.execId });
    return;
  }
  const master = streams.get("master");
  // It had ended, and its output had gone out.
  if (master === undefined) return;
  const id = process.execId === "" ? task.id : process.execId;
  const stdinWriter = process.stdinClosed ? undefined : kept.copies(drawers.stdin).get("writer");
  const adopted = { output: streams.get("output"), input: streams.get("input"), stdinWriter };
  process.terminal = await Terminal.open({ kernel, watcher, master, stdio, id, namespace: task.namespace, adopted });
  void process.terminal.drained.then(() => kept.drop(drawers.terminal));
}

/** What a stopped process had printed to its terminal and a slow reader had not taken yet. */
async function drainAgain(parts: HostParts, task: Task, process: TaskProcess): Promise<void> {
  const taken = parts.keeper.take(keptRecord(task, process));
  if (taken === undefined) return;
  if (taken.pidfd !== undefined) closeQuietly(parts.kernel, taken.pidfd);
  process.kept = taken.kept;
  taken.kept.drop(drawers.stdin);
  taken.kept.letGoOfProcess();
  if (taken.kept.isEmpty) return;
  await adoptTerminal(parts, task, process);
  process.terminal?.finish();
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

/**
 * A start of an exec, or of a restored init, that the earlier host did not live to record.
 * Shape: once the runtime has written its number the process counts as started, so that nothing is run twice; false
 * when it has not.
 */
function finishStart(parts: HostParts, task: Task, process: TaskProcess): boolean {
  const pid = pidOfStart(task, process);
  if (pid === 0) return false;
  const kept = parts.keeper.foundRecord({ namespace: task.namespace, id: task.id, execId: process.execId });
  process.pid = pid;
  process.startTime = kept?.pid === pid ? kept.startTime : (readStat(pid)?.startTime ?? 0);
  process.status = "running";
  if (process === task.init) task.cgroup = locateCgroup(pid, parts.cgroupMounts);
  publishStart(parts, task, process);
  return true;
}

/** The number that a runtime wrote for a process whose start was not recorded; 0 when it wrote none. */
export function pidOfStart(task: Task, process: TaskProcess): number {
  const isInit = process === task.init;
  if (isInit && task.checkpoint === "") return 0;
  const pidFile = isInit ? initPidFile(task) : execFiles(task, process.execId).pidFile;
  if (!existsSync(pidFile)) return 0;
  const pid = Number(readFileSync(pidFile, "utf8").trim());
  return Number.isSafeInteger(pid) && pid > 0 ? pid : 0;
}
