import { ContainerDeleteSchema, ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.ts";
import { TaskDeleteSchema, TaskExitSchema, TaskStartSchema } from "../../gen/containerd/events/task_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { anyToOrNone } from "../../wire/any.ts";

/** What an event tells of a container. */
export interface Told {
  readonly id: string;
  readonly what: "started" | "exited" | "deleted" | "changed" | "lost";
  readonly pid: number;
  readonly exitStatus: number;
}

/**
 * Reads the events that may call for a restart, or call it off; undefined for all others.
 * Shape: anybody may publish under any topic: a payload that is another than the topic's is none of ours.
 */
export function readTaskEvent({ topic, event: any }: Envelope): Told | undefined {
  switch (topic) {
    case "/tasks/start": {
      const event = anyToOrNone(any, TaskStartSchema);
      return event && { id: event.containerId, what: "started", pid: event.pid, exitStatus: 0 };
    }
    case "/tasks/exit": {
      const event = anyToOrNone(any, TaskExitSchema);
      // Execs end, too.
      if (event?.id !== event?.containerId) return undefined;
      return event && { id: event.id, what: "exited", pid: event.pid, exitStatus: event.exitStatus };
    }
    case "/tasks/delete": {
      const event = anyToOrNone(any, TaskDeleteSchema);
      if (event === undefined || (event.id !== "" && event.id !== event.containerId)) return undefined;
      return { id: event.containerId, what: "deleted", pid: event.pid, exitStatus: event.exitStatus };
    }
    case "/containers/update":
      return changed(anyToOrNone(any, ContainerUpdateSchema));
    case "/containers/delete":
      return changed(anyToOrNone(any, ContainerDeleteSchema));
    default:
      return undefined;
  }
}

function changed(event: { readonly id: string } | undefined): Told | undefined {
  return event && { id: event.id, what: "changed", pid: 0, exitStatus: 0 };
}
