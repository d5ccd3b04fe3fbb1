import { existsSync, mkdirSync, rmdirSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unmountAll } from "../../sys/index.ts";
import { locateCgroup } from "../cgroup/locate.ts";
import { criuConfigVariable, restoreConfig } from "../criu/config-file.ts";
import { withCriuLog } from "../criu/criu-log.ts";
import { type RestoreNotes, readNotes } from "../criu/restore-notes.ts";
import { endCriu } from "../criu/stray-criu.ts";
import type { HostParts } from "../parts.ts";
import type { RuntimeKind } from "../runtime/runtime-kind.ts";
import { specForRestore, takeSpecBack } from "../runtime/spec-version.ts";
import { cgroupOfSpec, clearCgroup } from "../task/leftovers.ts";
import { watchOom } from "../task/oom.ts";
import { initPidFile, type Task } from "../task/task.ts";
import { holdProcess, runWithStreams } from "./create.ts";
import { readPidFile } from "./pid-file.ts";

/** Starts a task from the checkpoint that it was created with. Errors: `OCI runtime restore failed: ...` with CRIU's words. */
export async function restoreTask(parts: HostParts, task: Task): Promise<void> {
  const { runtimeRecord: settings, bundle } = task;
  const work = workFolder(task);
  const config = join(bundle, "criu.conf");
  const kind = await parts.kinds.of(settings.binary);
  const notes = await readNotes(task.checkpoint);
  task.init.starting = true;
  try {
    for (const folder of [settings.root, work]) mkdirSync(folder, { recursive: true, mode: 0o711 });
    // One of an earlier try would tell a process that is not this one's.
    rmSync(initPidFile(task), { force: true });
    const text = await restoreConfig({
      kind,
      image: task.checkpoint,
      runtimeRoot: settings.root,
      notes,
      hasStreams: !task.init.stdio.terminal,
    });
    await writeFile(config, text, { mode: 0o600 });
    using _spec = await specForRestore(parts.kinds, settings.binary, bundle);
    const args = ["restore", ...placeFlags(kind, task, work), ...noteFlags(kind, notes)];
    const env = { [criuConfigVariable]: config };
    await runWithStreams(parts, task, task.init, async ({ stdio, consoleSocket }) => {
      const terminal = consoleSocket === undefined ? [] : ["--console-socket", consoleSocket];
      await task.runtime.command("OCI runtime restore failed", [...args, ...terminal, task.id], { stdio, env });
      parts.failpoint("restore.made");
      holdProcess(parts, task.init, readPidFile(initPidFile(task)));
    });
  } catch (error) {
    await dropLeftOvers(parts, task);
    throw withCriuLog(error, bundle, join(work, "restore.log"), "criu-restore.log");
  } finally {
    task.init.starting = false;
    if (settings.criuWorkPath === "") rmSync(work, { recursive: true, force: true });
    // The last to go: it tells a later host that there may be more.
    rmSync(config, { force: true });
  }
  task.cgroup = locateCgroup(task.init.pid, parts.cgroupMounts);
  watchOom(parts, task);
}

/** Where CRIU works, and leaves its log. */
function workFolder({ runtimeRecord, bundle }: Task): string {
  return runtimeRecord.criuWorkPath || join(bundle, "criu-work");
}

/** A runtime that fails to restore, or is killed, leaves a cgroup behind, and perhaps what CRIU has half restored in it. */
async function dropLeftOvers(parts: HostParts, task: Task): Promise<void> {
  try {
    await endCriu(parts, workFolder(task));
    dropCriuRoots(parts, task);
    await task.runtime.delete(task.id, { force: true });
    const cgroup = cgroupOfSpec(task.bundle, parts.cgroupMounts);
    if (cgroup !== undefined) await clearCgroup(parts, cgroup);
  } catch (error) {
    parts.log.warn("could not clean up after a failed restore", { id: task.id, error });
  }
}

/** Where the runtimes mount the root for CRIU. It must be gone before somebody removes the folders around it. */
function dropCriuRoots({ kernel }: HostParts, task: Task): void {
  for (const folder of [task.bundle, join(task.runtimeRecord.root, task.id)]) {
    const path = join(folder, "criu-root");
    if (!existsSync(path)) continue;
    unmountAll(kernel, path);
    rmdirSync(path);
  }
}

/**
 * Takes up a restore in which an earlier host died: what is not done is taken back, to be done again.
 * Effects: its files in the bundle go, and the bundle's own spec is back in its place.
 */
export async function takeUpRestore(parts: HostParts, task: Task, isDone: boolean): Promise<void> {
  const config = join(task.bundle, "criu.conf");
  if (!existsSync(config)) return;
  takeSpecBack(task.bundle);
  if (!isDone) await dropLeftOvers(parts, task);
  rmSync(join(task.bundle, "criu-work"), { recursive: true, force: true });
  rmSync(config, { force: true });
}

function placeFlags(kind: RuntimeKind, task: Task, work: string): string[] {
  const { runtimeRecord: settings, bundle } = task;
  const args = ["--detach", "--bundle", bundle, "--pid-file", initPidFile(task)];
  args.push("--image-path", task.checkpoint, "--work-path", work);
  if (settings.noPivotRoot) args.push("--no-pivot");
  if (kind === "runc") args.push("--no-subreaper");
  return args;
}

/** CRIU restores only what it is allowed to; what was dumped was allowed then. */
function noteFlags(kind: RuntimeKind, notes: RestoreNotes): string[] {
  const args: string[] = [];
  if (notes.openTcp) args.push("--tcp-established");
  if (notes.externalUnixSockets) args.push("--ext-unix-sk");
  if (notes.terminal) args.push("--shell-job");
  if (notes.fileLocks) args.push("--file-locks");
  if (kind !== "crun") for (const name of notes.emptyNamespaces) args.push("--empty-ns", name);
  return args;
}
