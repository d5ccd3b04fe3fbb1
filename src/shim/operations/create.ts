import { mkdirSync, rmSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { TaskCreateSchema } from "../../gen/containerd/events/task_pb.ts";
import { type Options, OptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type { CreateTaskRequest } from "../../gen/containerd/task/v3/shim_pb.ts";
import { invalidArgument, messageOf, quote } from "../../lib/faults.ts";
import { SharedWait } from "../../lib/shared-wait.ts";
import { spanned, type Trace } from "../../lib/trace.ts";
import { mountAll, unmountAll } from "../../sys/index.ts";
import { anyIs, anyTo } from "../../wire/any.ts";
import { locateCgroup } from "../cgroup/locate.ts";
import { drawers } from "../keeper/kept.ts";
import { createRuntime, type HostParts, publish, save, topics } from "../parts.ts";
import { TaskProcess } from "../process/process.ts";
import { ProcessHandle, startTimeOf } from "../process/process-handle.ts";
import { specForCreate } from "../runtime/spec-version.ts";
import type { RuntimeRecord } from "../state/records.ts";
import { endLoggerInBackground } from "../stdio/logger-process.ts";
import { openIo } from "../stdio/process-io.ts";
import { upperOf } from "../task/departing-roots.ts";
import { watchExit } from "../task/exits.ts";
import { keepProcess } from "../task/keep.ts";
import { isCgroupOfSpec } from "../task/leftovers.ts";
import { watchOom } from "../task/oom.ts";
import { type BundleSpec, readBundleSpec } from "../task/spec.ts";
import { initPidFile, Task } from "../task/task.ts";
import { ConsoleSocket } from "../terminal/console-socket.ts";
import { Terminal } from "../terminal/terminal.ts";
import { runHopeless } from "./hopeless.ts";
import { readPidFile } from "./pid-file.ts";

/**
 * Creates a task: rootfs mounted, streams opened, init waiting to be started (or a checkpoint waiting to be restored).
 * Errors: alreadyExists, invalidArgument (bundle, options), unknown with the runtime's own message.
 * Effects: state on disk before and after; a failure undoes every step; event /tasks/create.
 */
export async function createTask(
  parts: HostParts,
  namespace: string,
  request: CreateTaskRequest,
  trace?: Trace,
): Promise<Task> {
  parts.moveLock.expect();
  const { task, spec } = newTask(parts, namespace, request);
  parts.tasks.add(task);
  using _making = beginMaking(task);
  using _lock = await task.lock.exclusive();
  await using undo = new AsyncDisposableStack();
  undo.defer(() => {
    parts.tasks.remove(task);
    parts.states.remove(task.namespace, task.id);
    rmSync(initPidFile(task), { force: true });
  });
  save(parts, task);
  parts.failpoint("create.recorded");
  await mountRootfs(parts, task, request, undo);
  parts.failpoint("create.mounted");
  if (task.checkpoint === "") await createInit(parts, task, spec, undo, trace);
  task.init.status = "created";
  task.phase = "ready";
  publish(parts, task, topics.create, TaskCreateSchema, {
    containerId: task.id,
    bundle: task.bundle,
    rootfs: request.rootfs,
    io: task.init.stdio,
    checkpoint: task.checkpoint,
    pid: task.init.pid,
  });
  parts.failpoint("create.announced");
  save(parts, task);
  parts.failpoint("create.saved");
  undo.move();
  watchExit(parts, task, task.init);
  return task;
}

/** Lets those who ask for the task wait until the answer is disposed: it is there then, or gone. */
function beginMaking(task: Task): Disposable {
  const { promise, resolve } = Promise.withResolvers<void>();
  task.making = new SharedWait(promise);
  return {
    [Symbol.dispose]: () => {
      task.making = undefined;
      resolve();
    },
  };
}

interface NewTask {
  readonly task: Task;
  readonly spec: BundleSpec;
}

function newTask(parts: HostParts, namespace: string, request: CreateTaskRequest): NewTask {
  const { id, bundle } = request;
  if (!isAbsolute(bundle)) throw invalidArgument(`bundle ${quote(bundle)} is not an absolute path`);
  const runtimeRecord = runtimeSettings(parts, namespace, readOptions(request.options));
  const spec = readBundleSpec(bundle);
  const { stdin, stdout, stderr, terminal } = request;
  const task = new Task({
    namespace,
    id,
    bundle,
    runtimeRecord,
    runtime: createRuntime(parts, runtimeRecord, bundle),
    hasRootfsMounts: request.rootfs.length > 0,
    hasPrivatePids: spec.hasPrivatePids,
    hasPoststartHooks: spec.hasPoststartHooks,
    needsRuntimeDelete: spec.needsRuntimeDelete,
    checkpoint: request.checkpoint,
    parentCheckpoint: request.parentCheckpoint,
    init: new TaskProcess("", { stdin, stdout, stderr, terminal }),
  });
  return { task, spec };
}

function readOptions(options: Any | undefined): Options {
  if (options === undefined || options.value.length === 0) return create(OptionsSchema);
  if (!anyIs(options, OptionsSchema)) throw invalidArgument(`runtime options of type ${quote(options.typeUrl)}`);
  return anyTo(options, OptionsSchema);
}

function runtimeSettings(parts: HostParts, namespace: string, options: Options): RuntimeRecord {
  const binary = options.binaryName || parts.defaultRuntime;
  const ownRoot = join(parts.folder, "runtime", binary.replaceAll("/", "_").replace(/^_+/, ""));
  const { systemdCgroup, noPivotRoot, noNewKeyring, ioUid, ioGid, criuWorkPath } = options;
  const root = join(options.root || ownRoot, namespace);
  return { binary, root, systemdCgroup, noPivotRoot, noNewKeyring, ioUid, ioGid, criuWorkPath };
}

async function mountRootfs(
  parts: HostParts,
  task: Task,
  request: CreateTaskRequest,
  undo: AsyncDisposableStack,
): Promise<void> {
  if (!task.hasRootfsMounts) return;
  const rootfs = join(task.bundle, "rootfs");
  task.upper = upperOf(request.rootfs);
  if (task.upper !== undefined) await parts.roots.gone(task.upper);
  mkdirSync(rootfs, { recursive: true, mode: 0o711 });
  mountAll(parts.kernel, request.rootfs, rootfs);
  undo.defer(undoing(parts, task, "unmount the rootfs", () => unmountAll(parts.kernel, rootfs)));
}

/** A step back that never hides why the creation failed, nor keeps the others from being taken. */
function undoing(parts: HostParts, task: Task, what: string, step: () => void | Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await step();
    } catch (error) {
      const { namespace, id } = task;
      parts.log.warn("a creation can't be undone in full", { namespace, id, step: what, error: messageOf(error) });
    }
  };
}

async function createInit(
  parts: HostParts,
  task: Task,
  { ociVersion, cgroupsPath, root, program }: BundleSpec,
  undo: AsyncDisposableStack,
  trace: Trace | undefined,
): Promise<void> {
  const { runtimeRecord: settings, bundle } = task;
  mkdirSync(settings.root, { recursive: true, mode: 0o711 });
  const pidFile = initPidFile(task);
  using spec = await specForCreate(parts.kinds, settings.binary, { bundle, ociVersion });
  const { config } = spec;
  const base = { bundle, config, pidFile, noPivot: settings.noPivotRoot, noNewKeyring: settings.noNewKeyring };
  undo.defer(() => dropTerminal(task.init));
  undo.defer(() => task.init.release());
  undo.defer(() => {
    if (task.init.logger !== undefined) endLoggerInBackground(parts, task.init.logger);
  });
  undo.defer(() => parts.logs.finish(task.init.stdio.stdout));
  // What the runtime made goes again when a later step fails; it has nothing to delete when it failed itself.
  let created = false;
  undo.defer(
    undoing(parts, task, "delete the container", async () => {
      if (created) await task.runtime.delete(task.id, { force: true });
    }),
  );
  if (!task.init.stdio.terminal) {
    const create = (): Promise<void> => task.runtime.create(task.id, { ...base, stdio: undefined });
    if (await runHopeless(parts, root, program, pidFile, create)) await task.runtime.delete(task.id, { force: true });
  }
  await runWithStreams(parts, task, task.init, async (streams) => {
    await spanned(trace, "runtime create", { "container.id": task.id, runtime: settings.binary }, () =>
      task.runtime.create(task.id, { ...base, ...streams }),
    );
    created = true;
    parts.failpoint("create.made");
    holdProcess(parts, task.init, readPidFile(pidFile));
  });
  keepProcess(parts, task, task.init);
  parts.failpoint("create.kept");
  task.cgroup = locateCgroup(task.init.pid, parts.cgroupMounts);
  // Where init stands elsewhere than the spec says, there is more of it than its own folder.
  if (!isCgroupOfSpec(parts, task, cgroupsPath)) task.needsRuntimeDelete = true;
  watchOom(parts, task);
  undo.defer(() => task.oom?.[Symbol.dispose]());
}

/** What a runtime command gets for a process's streams. */
export interface RuntimeStreams {
  readonly stdio: Parameters<Task["runtime"]["create"]>[1]["stdio"];
  readonly consoleSocket?: string;
}

/** Opens a process's streams or its console socket, runs the runtime with them, and keeps what the host has to keep. */
export async function runWithStreams(
  parts: HostParts,
  task: Task,
  process: TaskProcess,
  run: (streams: RuntimeStreams) => Promise<void>,
): Promise<void> {
  const { kernel, watcher, log } = parts;
  const { namespace } = task;
  const id = process.execId === "" ? task.id : process.execId;
  const { stdio } = process;
  if (stdio.terminal) {
    using socket = new ConsoleSocket(kernel, parts.folder);
    await run({ stdio: undefined, consoleSocket: socket.path });
    const master = socket.receiveMaster();
    process.terminal = await Terminal.open({ kernel, watcher, master, stdio, id, namespace });
    parts.logs.watch(stdio.stdout);
    process.logger = process.terminal.logger;
    if (process.stdinClosed) process.terminal.closeStdin();
    return;
  }
  const { ioUid: uid, ioGid: gid } = task.runtimeRecord;
  const waits = process.execId === "" && task.checkpoint === "";
  const io = await openIo({ kernel, watcher, log, stdio, id, namespace, uid, gid, waits });
  parts.logs.watch(stdio.stdout);
  try {
    await run({ stdio: io.child });
  } catch (error) {
    parts.logs.finish(stdio.stdout);
    io.close();
    if (io.logger !== undefined) endLoggerInBackground(parts, io.logger);
    throw error;
  }
  const stdin = io.takeStdin();
  io.closeChildEnds();
  process.logger = io.logger;
  process.takeStdin(stdin);
}

/** Closes a process's terminal, here and where it is kept. */
export function dropTerminal(process: TaskProcess): void {
  process.terminal?.[Symbol.dispose]();
  process.terminal = undefined;
  process.kept?.drop(drawers.terminal);
}

/** Takes hold of a process that a runtime has just made; it is this host's child, so that its number can't be another's. */
export function holdProcess(parts: HostParts, process: TaskProcess, pid: number): void {
  const { kernel, watcher, now } = parts;
  const startTime = startTimeOf(pid);
  const pidfd = kernel.pidfdOpen(pid);
  process.pid = pid;
  process.startTime = startTime;
  process.handle = new ProcessHandle({ kernel, watcher, pid, startTime, pidfd, now });
}
