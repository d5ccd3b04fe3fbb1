import { join } from "node:path";
import { messageOf } from "../lib/faults.ts";
import { unmountAll } from "../sys/index.ts";
import { adoptProcess, pidOfStart } from "./adoption.ts";
import { finishDelete } from "./delete.ts";
import { createRuntime, type HostParts, save } from "./parts.ts";
import { TaskProcess } from "./process.ts";
import { endRuntimeCommands } from "./runtime/stray-commands.ts";
import type { TaskRecord } from "./state/records.ts";
import { Task } from "./task.ts";

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
  if (mayHaveCommands(task)) await endRuntimeCommands(parts, task, ownPids(task));
  if (task.phase === "creating") return await undoCreate(parts, task);
  parts.tasks.add(task);
  for (const exec of task.execs.values()) await adoptProcess(parts, task, exec);
  await adoptProcess(parts, task, task.init);
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

/** A runtime command that ended, or went on, under our hands would make what is found here untrue. */
function mayHaveCommands(task: Task): boolean {
  return task.phase !== "ready" || task.processes().some(({ status }) => status === "created");
}

/** The processes of a task that is to live on; none of a creation that is undone. */
function ownPids(task: Task): Set<number> {
  if (task.phase === "creating") return new Set();
  return new Set(task.processes().map((process) => (process.pid === 0 ? pidOfStart(task, process) : process.pid)));
}
