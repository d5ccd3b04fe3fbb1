import { mkdirSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { TaskCheckpointedSchema } from "../../gen/containerd/events/task_pb.ts";
import { type CheckpointOptions, CheckpointOptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type { CheckpointTaskRequest } from "../../gen/containerd/task/v3/shim_pb.ts";
import { FaultError, invalidArgument, quote } from "../../lib/faults.ts";
import { anyTo } from "../../wire/any.ts";
import { cgroupPids, hasNestedCgroups } from "../cgroup/cgroup-files.ts";
import { freezerState, thaw } from "../cgroup/freezer.ts";
import { criuConfigVariable, criuName, dumpConfig } from "../criu/config-file.ts";
import { withCriuLog } from "../criu/criu-log.ts";
import { type ExternalFile, findExternalFiles } from "../criu/external-files.ts";
import { keepOwnCgroups } from "../criu/own-cgroups.ts";
import { writeNotes } from "../criu/restore-notes.ts";
import { type HostParts, publish, topics } from "../parts.ts";
import type { RuntimeKind } from "../runtime/runtime-kind.ts";
import { statusOf } from "../task/status.ts";
import type { Task } from "../task/task.ts";

/**
 * Writes a task's processes to a folder with CRIU, through the runtime, and beside them what a restore must know.
 * Errors: unknown (wrong state), or the runtime's message with CRIU's own error; its log is kept in the bundle.
 * Effects: the task goes on, unless the options say `exit`; event /tasks/checkpointed.
 */
export async function checkpointTask(parts: HostParts, task: Task, request: CheckpointTaskRequest): Promise<void> {
  const options =
    request.options === undefined ? create(CheckpointOptionsSchema) : anyTo(request.options, CheckpointOptionsSchema);
  using _lock = await task.lock.exclusive();
  const status = statusOf(task, task.init);
  if (status === "created") throw new FaultError("unknown", "cannot checkpoint a task in created state");
  if (status === "stopped") throw new FaultError("unknown", "cannot checkpoint a stopped container");
  const image = request.path || options.imagePath;
  const pids = task.cgroup === undefined ? [] : cgroupPids(task.cgroup);
  const files = await findExternalFiles(task.init.pid, pids);
  try {
    await dump(parts, task, options, { image, files });
  } finally {
    // A CRIU that died leaves the container as it stood.
    if (status === "running" && freezerState(task.cgroup) === "frozen") thawLeftOver(parts, task);
  }
  await keepOwnCgroups(image);
  await writeNotes(image, options, files);
  publish(parts, task, topics.checkpointed, TaskCheckpointedSchema, { containerId: task.id, checkpoint: image });
}

interface DumpTarget {
  readonly image: string;
  readonly files: readonly ExternalFile[];
}

async function dump(parts: HostParts, task: Task, options: CheckpointOptions, target: DumpTarget): Promise<void> {
  const { image, files } = target;
  const kind = await parts.kinds.of(task.runtimeRecord.binary);
  const work = options.workPath || join(task.bundle, "criu-work");
  const config = join(task.bundle, "criu.conf");
  mkdirSync(work, { recursive: true, mode: 0o700 });
  const flags = [...optionFlags(kind, options), ...cgroupFlags(kind, task, options)];
  const args = ["checkpoint", "--image-path", image, "--work-path", work, ...flags, task.id];
  try {
    await writeFile(config, dumpConfig(files, kind === "crun" ? options.emptyNamespaces : []), { mode: 0o600 });
    const env = { [criuConfigVariable]: config };
    await task.runtime.command("OCI runtime checkpoint failed", args, { env });
  } catch (error) {
    throw withCriuLog(error, task.bundle, join(work, "dump.log"), "criu-dump.log");
  } finally {
    rmSync(config, { force: true });
    if (options.workPath === "") rmSync(work, { recursive: true, force: true });
  }
}

function optionFlags(kind: RuntimeKind, options: CheckpointOptions): string[] {
  const args: string[] = [];
  if (!options.exit) args.push("--leave-running");
  if (options.openTcp) args.push("--tcp-established");
  if (options.externalUnixSockets) args.push("--ext-unix-sk");
  if (options.terminal) args.push("--shell-job");
  if (options.fileLocks) args.push("--file-locks");
  if (options.parentPath !== "") args.push("--parent-path", options.parentPath);
  if (kind !== "crun") for (const name of options.emptyNamespaces) args.push("--empty-ns", name);
  else checkEmptyNamespaces(options.emptyNamespaces);
  return args;
}

/** crun knows no empty namespaces, so that CRIU is asked itself, and refuses worse than this. */
function checkEmptyNamespaces(names: readonly string[]): void {
  for (const name of names) {
    if (criuName(name) !== "net") throw invalidArgument(`empty namespace ${quote(name)} is not supported`);
  }
}

/**
 * crun makes a container's cgroups again before it restores, and leaves alone the hierarchy of v2 beside v1: there CRIU
 * would walk through everybody's cgroups, and fail when one goes meanwhile. Only what the container made below its own
 * is worth that.
 */
function cgroupFlags(kind: RuntimeKind, task: Task, options: CheckpointOptions): string[] {
  if (options.cgroupsMode !== "") return ["--manage-cgroups-mode", options.cgroupsMode];
  const { cgroup } = task;
  if (kind !== "crun" || cgroup?.version !== 1 || hasNestedCgroups(cgroup)) return [];
  return ["--manage-cgroups-mode", "ignore"];
}

function thawLeftOver({ log }: HostParts, task: Task): void {
  if (task.cgroup === undefined) return;
  log.warn("a checkpoint left its task frozen", { namespace: task.namespace, id: task.id });
  thaw(task.cgroup);
}
