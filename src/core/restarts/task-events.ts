import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { ContainerDeleteSchema, ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.ts";
import { TaskDeleteSchema, TaskExitSchema, TaskStartSchema } from "../../gen/containerd/events/task_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { anyIs } from "../../wire/any.ts";

/** What an event tells of a container. */
export interface Told {
  readonly id: string;
  readonly what: "started" | "exited" | "deleted" | "changed";
  readonly pid: number;
  readonly exitStatus: number;
}

/**
 * Reads the events that may call for a restart, or call it off; undefined for all others.
 * Shape: anybody may publish under any topic: a payload that is another than the topic's is none of ours.
 */
export function readTaskEvent(envelope: Envelope): Told | undefined {
  switch (envelope.topic) {
    case "/tasks/start": {
      const event = payload(envelope, TaskStartSchema);
      return event && { id: event.containerId, what: "started", pid: event.pid, exitStatus: 0 };
    }
    case "/tasks/exit": {
      const event = payload(envelope, TaskExitSchema);
      // Execs end, too.
      if (event?.id !== event?.containerId) return undefined;
      return event && { id: event.id, what: "exited", pid: event.pid, exitStatus: event.exitStatus };
    }
    case "/tasks/delete": {
      const event = payload(envelope, TaskDeleteSchema);
      if (event === undefined || (event.id !== "" && event.id !== event.containerId)) return undefined;
      return { id: event.containerId, what: "deleted", pid: event.pid, exitStatus: event.exitStatus };
    }
    case "/containers/update":
      return changed(payload(envelope, ContainerUpdateSchema));
    case "/containers/delete":
      return changed(payload(envelope, ContainerDeleteSchema));
    default:
      return undefined;
  }
}

function payload<D extends DescMessage>({ event }: Envelope, schema: D): MessageShape<D> | undefined {
  if (event === undefined || !anyIs(event, schema)) return undefined;
  try {
    return fromBinary(schema, event.value);
  } catch {
    // Bytes that are no message, of whoever published them.
    return undefined;
  }
}

function changed(event: { readonly id: string } | undefined): Told | undefined {
  return event && { id: event.id, what: "changed", pid: 0, exitStatus: 0 };
}
