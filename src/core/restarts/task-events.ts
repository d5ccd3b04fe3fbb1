import { ContainerDeleteSchema, ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.ts";
import { TaskDeleteSchema, TaskExitSchema, TaskStartSchema } from "../../gen/containerd/events/task_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { anyTo } from "../../wire/any.ts";

/** What an event tells of a container. */
export interface Told {
  readonly id: string;
  readonly what: "started" | "exited" | "deleted" | "changed";
  readonly pid: number;
  readonly exitStatus: number;
}

/** Reads the events that may call for a restart, or call it off. Errors: a payload that is another than its topic says. */
export function readTaskEvent({ topic, event }: Envelope): Told | undefined {
  if (event === undefined) return undefined;
  switch (topic) {
    case "/tasks/start": {
      const { containerId, pid } = anyTo(event, TaskStartSchema);
      return { id: containerId, what: "started", pid, exitStatus: 0 };
    }
    case "/tasks/exit": {
      const { containerId, id, pid, exitStatus } = anyTo(event, TaskExitSchema);
      // Execs end, too.
      return id === containerId ? { id, what: "exited", pid, exitStatus } : undefined;
    }
    case "/tasks/delete": {
      const { containerId, id, pid, exitStatus } = anyTo(event, TaskDeleteSchema);
      return id === "" || id === containerId ? { id: containerId, what: "deleted", pid, exitStatus } : undefined;
    }
    case "/containers/update":
      return { id: anyTo(event, ContainerUpdateSchema).id, what: "changed", pid: 0, exitStatus: 0 };
    case "/containers/delete":
      return { id: anyTo(event, ContainerDeleteSchema).id, what: "changed", pid: 0, exitStatus: 0 };
    default:
      return undefined;
  }
}
