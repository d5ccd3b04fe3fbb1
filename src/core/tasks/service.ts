import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Tasks } from "../../gen/containerd/services/tasks/v1/tasks_pb.ts";
import { type Process, ProcessSchema } from "../../gen/containerd/v1/types/task_pb.ts";
import { FaultError, isFault, messageOf, wrapFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import type { Logger } from "../../lib/log.ts";
import { logFor, type TraceAttributes, traced } from "../../lib/trace.ts";
import { defineService, type ServiceDefinition, type ServiceImpl } from "../../wire/service.ts";
import type { Task, TaskManager } from "./tasks.ts";

export interface TasksServiceOptions {
  readonly tasks: TaskManager;
  readonly log: Logger;
}

const empty = {};

/**
 * The end of what has not ended: Go's zero time, by which clients know it; a field without a value is 1970 to them.
 * Source: containerd pkg/protobuf/timestamp.go.
 */
const noTime = create(TimestampSchema, { seconds: -62_135_596_800n });

/** containerd.services.tasks.v1.Tasks over the task manager. */
export function createTasksService({ tasks, log }: TasksServiceOptions): ServiceDefinition {
  return defineService(Tasks, { ...lifeMethods(tasks), ...viewMethods(tasks, log), ...controlMethods(tasks) });
}

type Methods = ServiceImpl<typeof Tasks>;

function lifeMethods(tasks: TaskManager): Methods {
  return {
    async create(ctx, request) {
      const { containerId, stdin, stdout, stderr, terminal, rootfs, options, runtimePath, checkpoint } = request;
      const { taskApiAddress: address, taskApiVersion: version } = request;
      const io = { stdin, stdout, stderr, terminal };
      const pid = await tasks.create(ctx, {
        id: containerId,
        io,
        rootfs,
        options,
        runtimePath,
        taskApi: { address, version },
        checkpoint,
      });
      return { containerId, pid };
    },
    async start(ctx, { containerId, execId }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("start", containerId, execId);
      const pid = await traced(ctx, "shim start", attributesOf(containerId, execId), ({ trace }) =>
        task.within(trace).start(execId),
      );
      return { pid };
    },
    async exec(ctx, { containerId, execId, stdin, stdout, stderr, terminal, spec }) {
      if (execId === "") throw new FaultError("invalidArgument", "exec id cannot be empty");
      const task = await tasks.get(ctx, containerId);
      try {
        checkIdentifier(execId);
      } catch (error) {
        throw wrapFault(`invalid exec id ${execId}`, error);
      }
      ctx.step = asks("exec", containerId, execId);
      await traced(ctx, "shim exec", attributesOf(containerId, execId), ({ trace }) =>
        task.within(trace).exec({ execId, io: { stdin, stdout, stderr, terminal }, spec }),
      );
      return empty;
    },
    async delete(ctx, { containerId }) {
      return exitFields(await tasks.delete(ctx, containerId));
    },
    async deleteProcess(ctx, { containerId, execId }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("delete", containerId, execId);
      const exit = await traced(ctx, "shim delete", attributesOf(containerId, execId), ({ trace }) =>
        task.within(trace).deleteProcess(execId),
      );
      return { id: execId, ...exitFields(exit) };
    },
    async checkpoint(ctx, { containerId, options }) {
      return { descriptors: [...(await tasks.checkpoint(ctx, containerId, options))] };
    },
  };
}

function viewMethods(tasks: TaskManager, log: Logger): Methods {
  return {
    async get(ctx, { containerId, execId }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("tell the state of", containerId, execId);
      return { process: await describe(task, execId) };
    },
    async list(ctx) {
      const known = await tasks.list(ctx);
      ctx.step = `waits for shims to tell the states of ${known.length} tasks`;
      const described = await Promise.all(known.map((task) => describeIfThere(task, logFor(ctx, log))));
      return { tasks: described.filter((process) => process !== undefined) };
    },
    async listPids(ctx, { containerId }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("list the processes of", containerId, "");
      return { processes: [...(await task.pids())] };
    },
    async metrics(ctx, { filters }) {
      ctx.step = "waits for shims to measure their tasks";
      return { metrics: [...(await uncoded(tasks.metrics(ctx, filters)))] };
    },
    async wait(ctx, { containerId, execId }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = `waits for the end of ${named(containerId, execId)}`;
      const { exitStatus, exitedAt } = await task.wait(execId, ctx.signal);
      return { exitStatus, exitedAt: exitedAt ?? noTime };
    },
  };
}

function controlMethods(tasks: TaskManager): Methods {
  return {
    async kill(ctx, { containerId, execId, signal, all }) {
      // Only a task's init has company. Source: containerd core/runtime/v2/process.go, Kill.
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("kill", containerId, execId);
      await task.kill(execId, { signal, all: all && execId === "" });
      return empty;
    },
    async resizePty(ctx, { containerId, execId, width, height }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("resize", containerId, execId);
      await task.resize(execId, width, height);
      return empty;
    },
    async closeIO(ctx, { containerId, execId, stdin }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("close stdin of", containerId, execId);
      if (stdin) await task.closeStdin(execId);
      return empty;
    },
    async pause(ctx, { containerId }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("pause", containerId, "");
      await task.pause();
      return empty;
    },
    async resume(ctx, { containerId }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("resume", containerId, "");
      await task.resume();
      return empty;
    },
    async update(ctx, { containerId, resources, annotations }) {
      const task = await tasks.get(ctx, containerId);
      ctx.step = asks("update", containerId, "");
      await task.update(resources, annotations);
      return empty;
    },
  };
}

/** A step of a call: its shim was asked and has not answered. */
function asks(verb: string, id: string, execId: string): string {
  return `waits for the shim to ${verb} ${named(id, execId)}`;
}

function attributesOf(id: string, execId: string): TraceAttributes {
  return { "container.id": id, "exec.id": execId };
}

function named(id: string, execId: string): string {
  return execId === "" ? id : `${execId} in ${id}`;
}

/** Errors: unknown, whatever it was: containerd gives these no code. Source: plugins/services/tasks/local.go, Metrics. */
async function uncoded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new FaultError("unknown", messageOf(error), { cause: error });
  }
}

function exitFields({ pid, exitStatus, exitedAt }: Awaited<ReturnType<TaskManager["delete"]>>): object {
  return { pid, exitStatus, exitedAt: exitedAt ?? noTime };
}

/** As containerd fills it: the id is the process's own, the container's stays empty. */
async function describe(task: Task, execId: string): Promise<Process> {
  const { exitedAt, pid, status, stdin, stdout, stderr, terminal, exitStatus } = await task.state(execId);
  const id = execId === "" ? task.id : execId;
  const fields = { id, pid, status, stdin, stdout, stderr, terminal, exitStatus };
  return create(ProcessSchema, { ...fields, exitedAt: exitedAt ?? noTime });
}

/** A task that can't be described is left out of a list, and the others are not. */
async function describeIfThere(task: Task, log: Logger): Promise<Process | undefined> {
  try {
    return await describe(task, "");
  } catch (error) {
    if (!isFault(error, "notFound")) log.error("converting task to protobuf", { id: task.id, error });
    return undefined;
  }
}
