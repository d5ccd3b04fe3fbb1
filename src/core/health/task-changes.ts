import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { ContainerDeleteSchema, ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.ts";
import {
  TaskDeleteSchema,
  TaskExitSchema,
  TaskPausedSchema,
  TaskResumedSchema,
  TaskStartSchema,
} from "../../gen/containerd/events/task_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { anyToOrNone } from "../../wire/any.ts";

/** What an event tells of a container whose health is watched. */
export type TaskChange =
  | { readonly id: string; readonly what: "started"; readonly pid: number }
  | { readonly id: string; readonly what: "ended" | "paused" | "resumed" | "relabeled" | "removed" };

type Reader = (envelope: Envelope) => TaskChange | undefined;

const readers: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["/tasks/start", reader(TaskStartSchema, ({ containerId, pid }) => ({ id: containerId, what: "started", pid }))],
  // Checks end, too.
  [
    "/tasks/exit",
    reader(TaskExitSchema, ({ containerId, id }) => (id === containerId ? { id, what: "ended" } : undefined)),
  ],
  [
    "/tasks/delete",
    reader(TaskDeleteSchema, ({ containerId, id }) =>
      id === "" || id === containerId ? { id: containerId, what: "ended" } : undefined,
    ),
  ],
  ["/tasks/paused", reader(TaskPausedSchema, ({ containerId }) => ({ id: containerId, what: "paused" }))],
  ["/tasks/resumed", reader(TaskResumedSchema, ({ containerId }) => ({ id: containerId, what: "resumed" }))],
  ["/containers/update", reader(ContainerUpdateSchema, ({ id }) => ({ id, what: "relabeled" }))],
  ["/containers/delete", reader(ContainerDeleteSchema, ({ id }) => ({ id, what: "removed" }))],
]);

/** Reads an event; undefined for one that changes nothing. Shape: a payload that is another than the topic's is none of ours. */
export function readTaskChange(envelope: Envelope): TaskChange | undefined {
  return readers.get(envelope.topic)?.(envelope);
}

function reader<D extends DescMessage>(schema: D, tell: (message: MessageShape<D>) => TaskChange | undefined): Reader {
  return ({ event }) => {
    const message = anyToOrNone(event, schema);
    return message && tell(message);
  };
}
