import { rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../lib/faults.ts";
import { dropTerminal } from "../operations/create.ts";
import { finishDelete } from "../operations/delete.ts";
import { takeUpRestore } from "../operations/restore.ts";
import { createRuntime, type HostParts, save } from "../parts.ts";
import { TaskProcess } from "../process/process.ts";
import { endRuntimeCommands } from "../runtime/stray-commands.ts";
import type { TaskRecord } from "../state/records.ts";
import { publishUndone } from "../task/journaled.ts";
import { cgroupOfSpec, clearCgroup, unmountRootfs } from "../task/leftovers.ts";
import { Task } from "../task/task.ts";
import { adoptProcess, pidOfStart } from "./adoption.ts";
import { BrokenTasks } from "./broken.ts";
import { resumeDump } from "./dumps.ts";

/**
 * Takes up what an earlier host left: living processes are adopted, exits that nobody saw are published, half-made
 * creations are undone and half-done deletes are finished. Answers the tasks that can't be taken up.
 * Effects: one that can't be read, or taken up, hides no other.
 */
export async function recoverTasks(parts: HostParts): Promise<BrokenTasks> {
  const broken = new BrokenTasks();
  const deadline = performance.now() + commandGraceMs;
  for (const found of parts.states.load()) {
    if ("reason" in found) {
      const { namespace, id, reason, earlier } = found;
      parts.log.error("the state of a task can't be read", { namespace, id, reason });
      broken.add({ namespace, id, reason, record: earlier, bundle: earlier?.bundle ?? "" });
      continue;
    }
    const { namespace, id, record } = found;
    try {
      await recoverTask(parts, record, deadline);
    } catch (error) {
      parts.log.error("a task can't be taken up", { namespace, id, error });
      letGo(parts, namespace, id);
      broken.add({ namespace, id, reason: messageOf(error), record, bundle: record.bundle });
    }
  }
  return broken;
}

/** What was half taken up is nobody's again. */
function letGo(parts: HostParts, namespace: string, id: string): void {
  const task = parts.tasks.find(namespace, id);
  if (task === undefined) return;
  for (const process of task.processes()) {
    dropTerminal(process);
    process.release();
  }
  task.oom?.[Symbol.dispose]();
  parts.tasks.remove(task);
}

async function recoverTask(parts: HostParts, record: TaskRecord, deadline: number): Promise<void> {
  const task = taskOf(parts, record);
  if (mayHaveCommands(task)) await endCommands(parts, task, deadline);
  if (task.phase === "creating") return await undoCreate(parts, task);
  if (task.checkpoint !== "") await takeUpRestore(parts, task, !waitsForRestore(task));
  parts.tasks.add(task);
  for (const exec of task.execs.values()) await adoptProcess(parts, task, exec);
  await adoptProcess(parts, task, task.init);
  if (task.phase === "deleting") await finishDelete(parts, task, { isResumed: true });
  else save(parts, task);
  if (task.phase === "ready" && task.dump !== undefined && task.dump.isDone !== true)
    resumeDump(parts, task, task.dump);
}

function taskOf(parts: HostParts, record: TaskRecord): Task {
  const { runtime: runtimeRecord, bundle } = record;
  const runtime = createRuntime(parts, runtimeRecord, bundle);
  const task = new Task({ ...record, runtimeRecord, runtime, init: TaskProcess.fromRecord(record.init) });
  task.phase = record.phase;
  task.cgroup = record.cgroup;
  task.dump = record.dump;
  task.isDumpAdopted = record.dump !== undefined;
  for (const exec of record.execs) task.execs.set(exec.execId, TaskProcess.fromRecord(exec));
  return task;
}

/** A creation that nobody was told of: nothing of it stays but what the bundle's maker put there. */
async function undoCreate(parts: HostParts, task: Task): Promise<void> {
  await task.runtime.delete(task.id, { force: true });
  const cgroup = task.cgroup ?? cgroupOfSpec(task.bundle, parts.cgroupMounts);
  if (cgroup !== undefined) await clearCgroup(parts, cgroup);
  if (task.hasRootfsMounts) unmountRootfs(parts, task.bundle);
  for (const name of ["log.json", "init.pid", "config.lowered.json"]) rmSync(join(task.bundle, name), { force: true });
  publishUndone(parts, task);
  parts.states.remove(task.namespace, task.id);
}

/** No process has come of its checkpoint yet, as far as the runtime has said. */
function waitsForRestore(task: Task): boolean {
  const { init } = task;
  return task.checkpoint !== "" && init.status === "created" && init.pid === 0 && pidOfStart(task, init) === 0;
}

/** An exec that is being made is to be: its runtime does that to the end. What is undone, or done again, ends at once. */
async function endCommands(parts: HostParts, task: Task, deadline: number): Promise<void> {
  const goesOn = task.phase === "ready" && !waitsForRestore(task);
  const container = { root: task.runtimeRecord.root, id: task.id };
  await endRuntimeCommands(parts, container, { spared: () => ownPids(task), deadline: goesOn ? deadline : 0 });
}

/**
 * How long commands of all tasks together are waited for: a runtime's exec takes a tenth of that on a busy machine, one
 * in a frozen container for ever, and a daemon waits for its host no longer than three times that.
 */
const commandGraceMs = 3_000;

/** A runtime command that ended, or went on, under our hands would make what is found here untrue. */
function mayHaveCommands(task: Task): boolean {
  return task.phase !== "ready" || task.processes().some(({ status }) => status === "created");
}

/** The processes of a task that is to live on; none of a creation that is undone. */
function ownPids(task: Task): Set<number> {
  if (task.phase === "creating") return new Set();
  return new Set(task.processes().map((process) => (process.pid === 0 ? pidOfStart(task, process) : process.pid)));
}
