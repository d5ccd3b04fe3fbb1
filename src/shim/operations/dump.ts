import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { freezerState, thaw } from "../cgroup/freezer.ts";
import { keepOwnCgroups } from "../criu/own-cgroups.ts";
import { writeNotes } from "../criu/restore-notes.ts";
import { type HostParts, save } from "../parts.ts";
import type { DumpRecord } from "../state/records.ts";
import { publishCheckpoint } from "../task/journaled.ts";
import type { Task } from "../task/task.ts";

/** What the runtime hands to CRIU. */
export function criuConfig(task: Task): string {
  return join(task.bundle, "criu.conf");
}

export function dumpLog({ work }: DumpRecord): string {
  return join(work, "dump.log");
}

/** Writes down that a checkpoint is being made, before anything of it is. */
export function beginDump(parts: HostParts, task: Task, dump: DumpRecord): void {
  mkdirSync(dump.work, { recursive: true, mode: 0o700 });
  // What an earlier one says in it would be taken for the end of this one.
  rmSync(dumpLog(dump), { force: true });
  task.dump = dump;
  task.isDumpAdopted = false;
  save(parts, task);
  parts.failpoint("checkpoint.recorded");
}

/** Makes CRIU's images a checkpoint. Effects: event /tasks/checkpointed, once; doing it again changes nothing. */
export async function settleDump(parts: HostParts, task: Task, dump: DumpRecord): Promise<void> {
  await keepOwnCgroups(dump.image);
  await writeNotes(dump.image, dump.notes);
  parts.failpoint("checkpoint.noted");
  publishCheckpoint(parts, task, dump);
  parts.failpoint("checkpoint.announced");
}

/** Clears away what a checkpoint needed. Shape: one with which the task ended can't be made again, and is remembered. */
export function endDump(parts: HostParts, task: Task, dump: DumpRecord, isWhole: boolean): void {
  // A CRIU that died leaves the container as it stood.
  if (dump.ran && task.cgroup !== undefined && freezerState(task.cgroup) === "frozen") {
    parts.log.warn("a checkpoint left its task frozen", { namespace: task.namespace, id: task.id });
    thaw(task.cgroup);
  }
  rmSync(criuConfig(task), { force: true });
  if (dump.ownsWork) rmSync(dump.work, { recursive: true, force: true });
  task.dump = isWhole && dump.exit ? { ...dump, isDone: true } : undefined;
  save(parts, task);
}

/** Whether a checkpoint was made already, for a caller whose host died before its answer. */
export function isDone({ dump, isDumpAdopted }: Task, image: string): boolean {
  return isDumpAdopted && dump?.isDone === true && dump.image === image;
}

/** Its caller knows of it now. */
export function claim(parts: HostParts, task: Task): void {
  task.dump = undefined;
  save(parts, task);
}
