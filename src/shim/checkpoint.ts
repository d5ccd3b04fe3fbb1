import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { TaskCheckpointedSchema } from "../gen/containerd/events/task_pb.ts";
import { type CheckpointOptions, CheckpointOptionsSchema } from "../gen/containerd/runc/v1/oci_pb.ts";
import type { CheckpointTaskRequest } from "../gen/containerd/task/v3/shim_pb.ts";
import { FaultError, messageOf } from "../lib/faults.ts";
import { isErrno } from "../sys/index.ts";
import { anyTo } from "../wire/any.ts";
import { locateCgroup } from "./cgroup/locate.ts";
import { holdProcess, readPidFile, runWithStreams } from "./create.ts";
import { watchOom } from "./oom.ts";
import { type HostParts, publish, topics } from "./parts.ts";
import { tail } from "./runtime/runtime-log.ts";
import { statusOf } from "./status.ts";
import type { Task } from "./task.ts";

/**
 * Writes a task's processes to a folder with CRIU, through the runtime.
 * Errors: unknown (wrong state), or the runtime's message with CRIU's own last error; its log is kept in the bundle.
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
  const work = options.workPath || join(task.bundle, "criu-work");
  mkdirSync(work, { recursive: true, mode: 0o700 });
  const args = ["checkpoint", "--image-path", image, "--work-path", work, ...flags(options), task.id];
  try {
    await task.runtime.command("OCI runtime checkpoint failed", args);
  } catch (error) {
    throw withCriuLog(error, task, join(work, "dump.log"), "criu-dump.log");
  } finally {
    if (options.workPath === "") rmSync(work, { recursive: true, force: true });
  }
  publish(parts, task, topics.checkpointed, TaskCheckpointedSchema, { containerId: task.id, checkpoint: image });
}

/** Starts a task from the checkpoint that it was created with. Errors: `OCI runtime restore failed: ...` with CRIU's words. */
export async function restoreTask(parts: HostParts, task: Task): Promise<void> {
  const { runtimeRecord: settings, bundle } = task;
  const work = settings.criuWorkPath || join(bundle, "criu-work");
  const pidFile = join(bundle, "init.pid");
  for (const folder of [settings.root, work]) mkdirSync(folder, { recursive: true, mode: 0o711 });
  const args = ["restore", "--detach", "--bundle", bundle, "--pid-file", pidFile];
  args.push("--image-path", task.checkpoint, "--work-path", work);
  if (settings.noPivotRoot) args.push("--no-pivot");
  if ((await parts.kinds.of(settings.binary)) === "runc") args.push("--no-subreaper");
  try {
    await runWithStreams(parts, task, task.init, async ({ stdio, consoleSocket }) => {
      const terminal = consoleSocket === undefined ? [] : ["--console-socket", consoleSocket];
      await task.runtime.command("OCI runtime restore failed", [...args, ...terminal, task.id], { stdio });
      holdProcess(parts, task.init, readPidFile(pidFile));
    });
  } catch (error) {
    throw withCriuLog(error, task, join(work, "restore.log"), "criu-restore.log");
  }
  task.cgroup = locateCgroup(task.init.pid, parts.cgroupMounts);
  watchOom(parts, task);
}

function flags(options: CheckpointOptions): string[] {
  const args: string[] = [];
  if (!options.exit) args.push("--leave-running");
  if (options.openTcp) args.push("--tcp-established");
  if (options.externalUnixSockets) args.push("--ext-unix-sk");
  if (options.terminal) args.push("--shell-job");
  if (options.fileLocks) args.push("--file-locks");
  if (options.cgroupsMode !== "") args.push("--manage-cgroups-mode", options.cgroupsMode);
  if (options.parentPath !== "") args.push("--parent-path", options.parentPath);
  for (const kind of options.emptyNamespaces) args.push("--empty-ns", kind);
  return args;
}

/** Puts what CRIU itself says behind the runtime's message, and keeps its log beside the bundle's files. */
function withCriuLog(error: unknown, task: Task, log: string, name: string): FaultError {
  const kept = join(task.bundle, name);
  try {
    copyFileSync(log, kept);
  } catch (failure) {
    if (!isErrno(failure, "ENOENT")) throw failure;
    return new FaultError("unknown", messageOf(error), { cause: error });
  }
  const why = tail(log)
    .split("\n")
    .filter((line) => line.includes("Error"))
    .at(-1)
    ?.trim();
  return new FaultError("unknown", `${messageOf(error)}: ${why ?? "no error in CRIU's log"} path= ${kept}`, {
    cause: error,
  });
}
