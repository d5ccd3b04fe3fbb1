import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TaskExecAddedSchema } from "../../gen/containerd/events/task_pb.ts";
import type { ExecProcessRequest } from "../../gen/containerd/task/v3/shim_pb.ts";
import { parseExactJson } from "../../lib/exact-json.ts";
import { FaultError, invalidArgument } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { anyToJson } from "../../wire/any.ts";
import { type HostParts, publish, save, topics } from "../parts.ts";
import { TaskProcess } from "../process/process.ts";
import { statusOf } from "../task/status.ts";
import type { Task } from "../task/task.ts";

/**
 * Adds a process to a task; Start runs it.
 * Errors: alreadyExists (the id), invalidArgument (the id, the spec), unknown (the task is paused or stopped), worded as containerd's shim.
 * Effects: event /tasks/exec-added.
 */
export async function addExec(parts: HostParts, task: Task, request: ExecProcessRequest): Promise<void> {
  const { execId, stdin, stdout, stderr, terminal } = request;
  checkIdentifier(execId);
  // Its start follows, and moves it.
  parts.moveLock.expect();
  using _lock = await task.lock.shared();
  if (task.execs.has(execId)) throw new FaultError("alreadyExists", `id ${execId}: already exists`);
  const status = statusOf(task, task.init);
  if (status !== "created" && status !== "running") throw new FaultError("unknown", `cannot exec in a ${status} state`);
  if (task.checkpoint !== "" && status === "created") throw new FaultError("unknown", "cannot exec in a created state");
  writeSpec(task, request);
  parts.failpoint("exec.written");
  const exec = new TaskProcess(execId, { stdin, stdout, stderr, terminal });
  exec.status = "created";
  task.execs.set(execId, exec);
  publish(parts, task, topics.execAdded, TaskExecAddedSchema, { containerId: task.id, execId });
  parts.failpoint("exec.announced");
  save(parts, task);
  parts.failpoint("exec.saved");
}

/** Files of one exec in the bundle; gone once it runs or is removed. */
export function execFiles(task: Task, execId: string): { processFile: string; pidFile: string; log: string } {
  const base = join(task.bundle, `exec-${execId}`);
  return { processFile: `${base}.process.json`, pidFile: `${base}.pid`, log: `${base}.log.json` };
}

export function removeExecFiles(task: Task, execId: string): void {
  for (const path of Object.values(execFiles(task, execId))) rmSync(path, { force: true });
}

function writeSpec(task: Task, request: ExecProcessRequest): void {
  if (request.spec === undefined) throw invalidArgument("exec: process spec is missing");
  // As it is: a limit without end would be rounded to what no runtime takes.
  const spec = anyToJson(request.spec, parseExactJson);
  if (typeof spec !== "object" || spec === null || Array.isArray(spec))
    throw invalidArgument("exec: process spec is no object");
  // The request decides on the terminal, whatever the spec says. Source: containerd's shim, Init.exec.
  const text = JSON.stringify({ ...spec, terminal: request.terminal });
  writeFileSync(execFiles(task, request.execId).processFile, text, { mode: 0o600 });
}
