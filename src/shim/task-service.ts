import type { MessageInitShape } from "@bufbuild/protobuf";
import { Task as TaskV2 } from "../gen/containerd/task/v2/shim_pb.ts";
import { type DeleteResponseSchema, Task as TaskV3 } from "../gen/containerd/task/v3/shim_pb.ts";
import type { Ctx } from "../lib/ctx.ts";
import { checkIdentifier } from "../lib/identifiers.ts";
import type { Trace } from "../lib/trace.ts";
import { defineService, type ServiceDefinition, type ServiceImpl } from "../wire/service.ts";
import { namespaceOf } from "./caller.ts";
import { checkpointTask } from "./operations/checkpoint.ts";
import { createTask } from "./operations/create.ts";
import { deleteProcess } from "./operations/delete.ts";
import { addExec } from "./operations/exec.ts";
import { exitOf, processState, taskPids, waitForExit } from "./operations/inspect.ts";
import { killProcess } from "./operations/kill.ts";
import { pauseTask, resumeTask } from "./operations/pause.ts";
import { taskStats, updateTask } from "./operations/resources.ts";
import { startProcess } from "./operations/start.ts";
import { closeStdin, resizeTerminal } from "./operations/terminal-control.ts";
import type { HostParts } from "./parts.ts";
import { type BrokenTask, type BrokenTasks, deleteBroken } from "./recovery/broken.ts";
import { createSandboxService } from "./sandbox/sandbox-service.ts";
import type { Task } from "./task/task.ts";

/** containerd's shim Task API, under both of its names, and its Sandbox API; decodes, calls, encodes. */
export function createTaskServices(
  parts: HostParts,
  version: string,
  broken: BrokenTasks,
): readonly ServiceDefinition[] {
  const impl = createTaskImpl(parts, version, broken);
  // The messages of v2 are those of v3 under another package; only the names differ.
  return [
    defineService(TaskV3, impl),
    defineService(TaskV2, impl as unknown as ServiceImpl<typeof TaskV2>),
    createSandboxService(parts),
  ];
}

function createTaskImpl(parts: HostParts, version: string, broken: BrokenTasks): ServiceImpl<typeof TaskV3> {
  const find = (ctx: Ctx, id: string): Promise<Task> => parts.tasks.made(namespaceOf(ctx), id, ctx.signal);
  return {
    create: async (ctx, request) => {
      broken.refuse(namespaceOf(ctx), checkIdentifier(request.id));
      const task = await createTask(parts, namespaceOf(ctx), request, ctx.trace);
      return { pid: task.init.pid };
    },
    start: async (ctx, { id, execId }) => ({ pid: await startProcess(parts, await find(ctx, id), execId, ctx.trace) }),
    delete: async (ctx, { id, execId }) => {
      const lost = execId === "" ? broken.find(namespaceOf(ctx), id) : undefined;
      if (lost !== undefined) return await removeBroken(parts, broken, lost);
      return await remove(parts, await find(ctx, id), execId, ctx.trace);
    },
    exec: async (ctx, request) => {
      await addExec(parts, await find(ctx, request.id), request);
      return {};
    },
    state: async (ctx, { id, execId }) => {
      const task = await find(ctx, id);
      return processState(task, task.process(execId));
    },
    wait: async (ctx, { id, execId }) => await waitForExit(ctx, (await find(ctx, id)).process(execId)),
    kill: async (ctx, { id, execId, signal, all }) => {
      killProcess(parts, await find(ctx, id), execId, signal, all);
      return {};
    },
    pids: async (ctx, { id }) => taskPids(await find(ctx, id)),
    pause: async (ctx, { id }) => {
      await pauseTask(parts, await find(ctx, id));
      return {};
    },
    resume: async (ctx, { id }) => {
      await resumeTask(parts, await find(ctx, id));
      return {};
    },
    stats: async (ctx, { id }) => ({ stats: taskStats(await find(ctx, id)) }),
    update: async (ctx, { id, resources }) => {
      await updateTask(await find(ctx, id), resources);
      return {};
    },
    checkpoint: async (ctx, request) => {
      await checkpointTask(parts, await find(ctx, request.id), request);
      return {};
    },
    resizePty: async (ctx, { id, execId, width, height }) => {
      resizeTerminal((await find(ctx, id)).process(execId), width, height);
      return {};
    },
    closeIO: async (ctx, { id, execId }) => {
      closeStdin(parts, await find(ctx, id), execId);
      return {};
    },
    connect: (ctx, { id }) => {
      const task = parts.tasks.find(namespaceOf(ctx), id);
      return { shimPid: process.pid, taskPid: task?.init.pid ?? 0, version };
    },
    // One host serves all tasks, so that the end of one task is not its end; Host.Shutdown is.
    shutdown: () => ({}),
  };
}

async function remove(
  parts: HostParts,
  task: Task,
  execId: string,
  trace: Trace | undefined,
): Promise<MessageInitShape<typeof DeleteResponseSchema>> {
  const process = await deleteProcess(parts, task, execId, trace);
  return { pid: process.pid, ...exitOf(process) };
}

async function removeBroken(
  parts: HostParts,
  broken: BrokenTasks,
  task: BrokenTask,
): Promise<MessageInitShape<typeof DeleteResponseSchema>> {
  const { pid, exitStatus, exitedAt } = await deleteBroken(parts, task);
  broken.remove(task);
  return { pid, exitStatus, exitedAt: exitedAt.toTimestamp() };
}
