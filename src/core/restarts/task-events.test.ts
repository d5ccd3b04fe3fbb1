import { describe, expect, test } from "bun:test";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.ts";
import { TaskDeleteSchema, TaskExitSchema, TaskStartSchema } from "../../gen/containerd/events/task_pb.ts";
import { type Envelope, EnvelopeSchema } from "../../gen/containerd/types/event_pb.ts";
import { anyOf } from "../../wire/any.ts";
import { readTaskEvent } from "./task-events.ts";

function envelope<D extends DescMessage>(topic: string, schema: D, fields: MessageInitShape<D>): Envelope {
  return create(EnvelopeSchema, { namespace: "n", topic, event: anyOf(schema, create(schema, fields)) });
}

describe("readTaskEvent", () => {
  test("tells what happened to a container's first process", () => {
    const told = [
      envelope("/tasks/start", TaskStartSchema, { containerId: "a", pid: 7 }),
      envelope("/tasks/exit", TaskExitSchema, { containerId: "a", id: "a", pid: 7, exitStatus: 3 }),
      envelope("/tasks/delete", TaskDeleteSchema, { containerId: "a", pid: 7, exitStatus: 3 }),
      envelope("/containers/update", ContainerUpdateSchema, { id: "a" }),
    ].map(readTaskEvent);
    expect(told).toEqual([
      { id: "a", what: "started", pid: 7, exitStatus: 0 },
      { id: "a", what: "exited", pid: 7, exitStatus: 3 },
      { id: "a", what: "deleted", pid: 7, exitStatus: 3 },
      { id: "a", what: "changed", pid: 0, exitStatus: 0 },
    ]);
  });

  test("is not taken in by execs, other topics, and payloads that are something else", () => {
    const broken = create(EnvelopeSchema, {
      topic: "/tasks/exit",
      event: { typeUrl: "containerd.events.TaskExit", value: new Uint8Array([255, 255, 255]) },
    });
    const told = [
      envelope("/tasks/exit", TaskExitSchema, { containerId: "a", id: "exec", pid: 7 }),
      envelope("/tasks/delete", TaskDeleteSchema, { containerId: "a", id: "exec", pid: 7 }),
      envelope("/tasks/oom", TaskStartSchema, { containerId: "a" }),
      envelope("/tasks/start", TaskExitSchema, { containerId: "a" }),
      create(EnvelopeSchema, { topic: "/tasks/exit" }),
      broken,
    ].map(readTaskEvent);
    expect(told.filter((one) => one !== undefined)).toEqual([]);
  });
});
