import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type CheckpointOptions, CheckpointOptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type { CheckpointTaskRequest } from "../../gen/containerd/task/v3/shim_pb.ts";
import { FaultError, invalidArgument, quote } from "../../lib/faults.ts";
import { anyTo } from "../../wire/any.ts";
import { cgroupPids, hasNestedCgroups } from "../cgroup/cgroup-files.ts";
import { criuConfigVariable, criuName, dumpConfig } from "../criu/config-file.ts";
import { withCriuLog } from "../criu/criu-log.ts";
import { findExternalFiles } from "../criu/external-files.ts";
import { notesOf } from "../criu/restore-notes.ts";
import type { HostParts } from "../parts.ts";
import type { RuntimeKind } from "../runtime/runtime-kind.ts";
import type { DumpRecord } from "../state/records.ts";
import { ownProgram } from "../task/own-program.ts";
import { statusOf } from "../task/status.ts";
import type { Task } from "../task/task.ts";
import { beginDump, claim, criuConfig, dumpLog, endDump, isDone, settleDump } from "./dump.ts";

/**
 * Writes a task's processes to a folder with CRIU, through the runtime, and beside them what a restore must know.
 * Errors: unknown (wrong state), or the runtime's message with CRIU's own error; its log is kept in the bundle.
 * Effects: the task goes on, unless the options say `exit`; event /tasks/checkpointed. A call that is repeated because its
 * host died is answered by the checkpoint that came of it.
 */
export async function checkpointTask(parts: HostParts, task: Task, request: CheckpointTaskRequest): Promise<void> {
  const options =
    request.options === undefined ? create(CheckpointOptionsSchema) : anyTo(request.options, CheckpointOptionsSchema);
  using _lock = await task.lock.exclusive();
  const image = request.path || options.imagePath;
  if (isDone(task, image)) return claim(parts, task);
  await ownProgram(task);
  const status = statusOf(task, task.init);
  if (status === "created") throw new FaultError("unknown", "cannot checkpoint a task in created state");
  if (status === "stopped") throw new FaultError("unknown", "cannot checkpoint a stopped container");
  const pids = task.cgroup === undefined ? [] : cgroupPids(task.cgroup);
  const files = await findExternalFiles(task.init.pid, pids);
  const dump: DumpRecord = {
    image,
    work: options.workPath || join(task.bundle, "criu-work"),
    ownsWork: options.workPath === "",
    exit: options.exit,
    ran: status === "running",
    begunAt: parts.now().toString(),
    notes: notesOf(options, files),
  };
  beginDump(parts, task, dump);
  let isWhole = false;
  try {
    await runDump(parts, task, options, dump);
    parts.failpoint("checkpoint.dumped");
    await settleDump(parts, task, dump);
    isWhole = true;
  } finally {
    endDump(parts, task, dump, isWhole);
  }
  parts.failpoint("checkpoint.saved");
}

async function runDump(parts: HostParts, task: Task, options: CheckpointOptions, dump: DumpRecord): Promise<void> {
  const { image, work, notes } = dump;
  const kind = await parts.kinds.of(task.runtimeRecord.binary);
  const config = criuConfig(task);
  const flags = [...optionFlags(kind, options), ...cgroupFlags(kind, task, options)];
  const args = ["checkpoint", "--image-path", image, "--work-path", work, ...flags, task.id];
  try {
    await writeFile(config, dumpConfig(notes.files, kind === "crun" ? options.emptyNamespaces : []), { mode: 0o600 });
    const env = { [criuConfigVariable]: config };
    await task.runtime.command("OCI runtime checkpoint failed", args, { env });
  } catch (error) {
    throw withCriuLog(error, task.bundle, dumpLog(dump), "criu-dump.log");
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
