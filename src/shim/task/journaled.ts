import { fromBinary } from "@bufbuild/protobuf";
import {
  TaskCheckpointedSchema,
  TaskCreateSchema,
  TaskDeleteSchema,
  TaskExecStartedSchema,
  TaskExitSchema,
  TaskStartSchema,
} from "../../gen/containerd/events/task_pb.ts";
import type { Event } from "../../gen/lighter/shim/v1/host_pb.ts";
import { Instant } from "../../lib/instant.ts";
import { type HostParts, publish, topics } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import type { DumpRecord } from "../state/records.ts";
import type { Task } from "./task.ts";

/** Publishes a start, unless the journal has it: the earlier host died between that and its next line. */
export function publishStart(parts: HostParts, task: Task, { execId, pid }: TaskProcess): void {
  const containerId = task.id;
  const told = parts.journal.kept().some(({ namespace, topic, event }) => {
    if (namespace !== task.namespace || event === undefined) return false;
    if (topic === topics.start) return execId === "" && fromBinary(TaskStartSchema, event.value).pid === pid;
    if (topic !== topics.execStarted) return false;
    const started = fromBinary(TaskExecStartedSchema, event.value);
    return started.containerId === containerId && started.execId === execId && started.pid === pid;
  });
  if (told) return;
  if (execId === "") publish(parts, task, topics.start, TaskStartSchema, { containerId, pid });
  else publish(parts, task, topics.execStarted, TaskExecStartedSchema, { containerId, execId, pid });
}

/** Publishes a checkpoint, unless the journal has it. */
export function publishCheckpoint(parts: HostParts, task: Task, { image: checkpoint, begunAt }: DumpRecord): void {
  const containerId = task.id;
  const told = parts.journal.kept().some(({ namespace, topic, event, timestamp }) => {
    if (namespace !== task.namespace || topic !== topics.checkpointed || event === undefined) return false;
    if (timestamp === undefined || Instant.of(timestamp).isBefore(Instant.parse(begunAt) ?? parts.now())) return false;
    const made = fromBinary(TaskCheckpointedSchema, event.value);
    return made.containerId === containerId && made.checkpoint === checkpoint;
  });
  if (!told) publish(parts, task, topics.checkpointed, TaskCheckpointedSchema, { containerId, checkpoint });
}

/** An exit that reached the journal but not the state. */
export function journaledExit(
  parts: HostParts,
  task: Task,
  process: TaskProcess,
): { status: number; at: Instant } | undefined {
  const id = process.execId === "" ? task.id : process.execId;
  for (const event of parts.journal.kept()) {
    if (event.topic !== topics.exit || event.namespace !== task.namespace || event.event === undefined) continue;
    const exit = fromBinary(TaskExitSchema, event.event.value);
    if (exit.containerId === task.id && exit.id === id && exit.pid === process.pid) {
      const at = exit.exitedAt === undefined ? parts.now() : Instant.of(exit.exitedAt);
      return { status: exit.exitStatus, at };
    }
  }
  return undefined;
}

/** The last event of a task's name that the journal has and that begins a life or ends one. */
export function lastOfLife(parts: HostParts, task: Task): Event | undefined {
  return parts.journal.kept().findLast(({ namespace, topic, event }) => {
    if (namespace !== task.namespace || event === undefined) return false;
    if (topic === topics.delete) return fromBinary(TaskDeleteSchema, event.value).containerId === task.id;
    return topic === topics.create && fromBinary(TaskCreateSchema, event.value).containerId === task.id;
  });
}

/** Publishes the end of a creation that was announced, and then undone. */
export function publishUndone(parts: HostParts, task: Task): void {
  const announced = lastOfLife(parts, task);
  if (announced?.topic !== topics.create || announced.event === undefined) return;
  const { pid } = fromBinary(TaskCreateSchema, announced.event.value);
  publish(parts, task, topics.delete, TaskDeleteSchema, { containerId: task.id, pid, exitStatus: 255 });
}
