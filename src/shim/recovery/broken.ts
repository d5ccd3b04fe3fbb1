import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { TaskDeleteSchema, TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import { closeQuietly, isErrno } from "../../sys/index.ts";
import { anyOf } from "../../wire/any.ts";
import type { TakenKept } from "../keeper/keeper.ts";
import { type HostParts, topics } from "../parts.ts";
import { foreignExitStatus } from "../process/process-handle.ts";
import type { RuntimeSettings } from "../runtime/oci-runtime.ts";
import { OciRuntime } from "../runtime/oci-runtime.ts";
import type { TaskRecord } from "../state/records.ts";
import { stopLogger } from "../stdio/logger-process.ts";
import { cgroupOfSpec, clearCgroup, endProcess, unmountRootfs } from "../task/leftovers.ts";

/** A task whose state can't be read, or that can't be taken up. */
export interface BrokenTask {
  readonly namespace: string;
  readonly id: string;
  readonly reason: string;
  /** Empty where it is not known. */
  readonly bundle: string;
  /** What an earlier line of its state said. */
  readonly record: TaskRecord | undefined;
}

/** What is said of an exit of which nothing is known. */
const unknownStatus = 255;

/** The broken tasks of a host, by name; they wait for their removal. */
export class BrokenTasks {
  readonly #tasks = new Map<string, BrokenTask>();

  add(task: BrokenTask): void {
    this.#tasks.set(`${task.namespace}/${task.id}`, task);
  }

  find(namespace: string, id: string): BrokenTask | undefined {
    return this.#tasks.get(`${namespace}/${id}`);
  }

  /** Errors: alreadyExists when a broken task has this name. */
  refuse(namespace: string, id: string): void {
    if (this.find(namespace, id) !== undefined)
      throw new FaultError("alreadyExists", `task ${quote(id)}: already exists`);
  }

  remove({ namespace, id }: BrokenTask): void {
    this.#tasks.delete(`${namespace}/${id}`);
  }

  all(): readonly BrokenTask[] {
    return [...this.#tasks.values()];
  }
}

/**
 * Removes a task of which too little is known to treat it well: everything of it is ended and cleared away.
 * Shape: what ran is found by the keeper's pidfds, by an earlier state, by the runtime's own state and by the cgroup, all
 * of which may miss. Answers the exit, 255 when it is not known.
 * Effects: events /tasks/exit and /tasks/delete. Doing it again after a death in the middle goes on with the rest.
 */
export async function deleteBroken(
  parts: HostParts,
  task: BrokenTask,
): Promise<{ readonly pid: number; readonly exitStatus: number; readonly exitedAt: Instant }> {
  const { namespace, id, record } = task;
  const kept = parts.keeper.takeAll(namespace, id);
  for (const settings of runtimesOf(parts, task)) await deleteAtRuntime(parts, task, settings);
  for (const process of kept) await endProcess(parts, process.kept.record);
  for (const process of record === undefined ? [] : [record.init, ...record.execs]) {
    await endProcess(parts, process);
    if (process.logger !== undefined) stopLogger(parts.kernel, process.logger, "SIGTERM");
  }
  const cgroup = record?.cgroup ?? cgroupOfSpec(task.bundle, parts.cgroupMounts);
  if (cgroup !== undefined) await clearCgroup(parts, cgroup);
  if (task.bundle !== "") unmountRootfs(parts, task.bundle);
  const exit = exitOf(parts, task, kept);
  publishEnd(parts, task, exit);
  parts.states.remove(namespace, id);
  for (const process of kept) {
    if (process.pidfd !== undefined) closeQuietly(parts.kernel, process.pidfd);
    process.kept.dropAll();
  }
  return exit;
}

type Exit = Awaited<ReturnType<typeof deleteBroken>>;

function exitOf(parts: HostParts, { record }: BrokenTask, kept: readonly TakenKept[]): Exit {
  const init = kept.find((process) => process.kept.record.execId === "");
  const status = init?.pidfd === undefined ? undefined : foreignExitStatus(parts.kernel, init.kept.record, init.pidfd);
  const pid = init?.kept.record.pid ?? record?.init.pid ?? 0;
  return { pid, exitStatus: typeof status === "number" ? status : unknownStatus, exitedAt: parts.now() };
}

function publishEnd(parts: HostParts, { namespace, id }: BrokenTask, { pid, exitStatus, exitedAt }: Exit): void {
  const facts = { containerId: id, pid, exitStatus, exitedAt: exitedAt.toTimestamp() };
  const exit = anyOf(TaskExitSchema, create(TaskExitSchema, { ...facts, id }));
  parts.journal.append(namespace, topics.exit, exit, parts.now());
  parts.journal.append(namespace, topics.delete, anyOf(TaskDeleteSchema, create(TaskDeleteSchema, facts)), parts.now());
}

/** The runtimes that may know the container: the one of an earlier state, or all that have a folder of its name. */
function runtimesOf(parts: HostParts, { namespace, id, record }: BrokenTask): RuntimeSettings[] {
  if (record !== undefined) return [record.runtime];
  const base = join(parts.folder, "runtime");
  return namesIn(base).flatMap((name) => {
    const root = join(base, name, namespace);
    if (!existsSync(join(root, id))) return [];
    // A path's slashes were written as underscores.
    const binary = Bun.which(name) === null ? `/${name.replaceAll("_", "/")}` : name;
    return [{ binary, root, systemdCgroup: false }];
  });
}

async function deleteAtRuntime(parts: HostParts, { id, bundle }: BrokenTask, settings: RuntimeSettings): Promise<void> {
  const home = bundle !== "" && existsSync(bundle) ? bundle : parts.folder;
  const log = join(parts.folder, "broken.log.json");
  try {
    const { spawner, programs } = parts;
    await new OciRuntime({ spawner, programs, settings, bundle: home, log }).delete(id, { force: true });
  } catch (error) {
    // The rest is done without it.
    parts.log.warn("a runtime can't delete a broken task", { id, runtime: settings.binary, error: messageOf(error) });
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
