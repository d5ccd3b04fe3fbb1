import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { ProcessDetailsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type {
  PidsResponseSchema,
  StateResponseSchema,
  WaitResponseSchema,
} from "../../gen/containerd/task/v3/shim_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { anyOf } from "../../wire/any.ts";
import { cgroupPids } from "../cgroup/cgroup-files.ts";
import type { TaskProcess } from "../process/process.ts";
import { statusOf, type TaskStatus } from "../task/status.ts";
import type { Task } from "../task/task.ts";

const wireStatus: Readonly<Record<TaskStatus, Status>> = {
  created: Status.CREATED,
  running: Status.RUNNING,
  pausing: Status.PAUSING,
  paused: Status.PAUSED,
  stopped: Status.STOPPED,
  unknown: Status.UNKNOWN,
};

/** A process's state. Effects: never waits for an operation of the task. */
export function processState(task: Task, process: TaskProcess): MessageInitShape<typeof StateResponseSchema> {
  return {
    id: process.execId === "" ? task.id : process.execId,
    bundle: task.bundle,
    pid: process.pid,
    status: wireStatus[statusOf(task, process)],
    ...process.stdio,
    ...exitOf(process),
  };
}

/** Waits for a process's exit to be published. Errors: canceled, deadlineExceeded. */
export async function waitForExit(
  ctx: Ctx,
  process: TaskProcess,
): Promise<MessageInitShape<typeof WaitResponseSchema>> {
  if (process.status !== "stopped") await process.exitWait.wait(ctx.signal);
  return exitOf(process);
}

/** The processes in a task's cgroup, those of execs with their id. */
export function taskPids(task: Task): MessageInitShape<typeof PidsResponseSchema> {
  const execOf = new Map(Array.from(task.execs.values(), (exec) => [exec.pid, exec.execId]));
  const pids = task.cgroup === undefined ? [task.init.pid].filter((pid) => pid !== 0) : cgroupPids(task.cgroup);
  return {
    processes: pids.map((pid) => {
      const execId = execOf.get(pid);
      if (execId === undefined) return { pid };
      return { pid, info: anyOf(ProcessDetailsSchema, create(ProcessDetailsSchema, { execId })) };
    }),
  };
}

export function exitOf(process: TaskProcess): { exitStatus: number; exitedAt?: Timestamp } {
  return {
    exitStatus: process.exitStatus,
    ...(process.exitedAt === undefined ? {} : { exitedAt: process.exitedAt.toTimestamp() }),
  };
}
