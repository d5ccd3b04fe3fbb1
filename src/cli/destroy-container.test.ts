import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { Client } from "../client/client.ts";
import { type Container, ContainerSchema } from "../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../gen/containerd/v1/types/task_pb.ts";
import { FaultError, notFound } from "../lib/faults.ts";
import { restartLabels } from "../lib/restart-labels.ts";
import type { CommandContext } from "./command.ts";
import { destroyContainer } from "./destroy-container.ts";

const supervised: Container = create(ContainerSchema, { id: "c", labels: { [restartLabels.status]: "running" } });

/** A daemon of one container, in which something happens before the container is taken from the restart monitor, or after. */
function daemonOf(task: { pid: number; status: Status } | undefined, happens: { [call: string]: () => void }) {
  const calls: string[] = [];
  const bed = { task, calls };
  const call = (name: string): void => {
    calls.push(name);
    happens[name]?.();
    delete happens[name];
  };
  const client = {
    containers: { update: async () => call("let go"), delete: async () => call("remove") },
    tasks: {
      get: async () => {
        call("look");
        if (bed.task === undefined) throw notFound("task c");
        return { process: { ...bed.task, stdout: "" } };
      },
      wait: async () => ({ exitStatus: 137 }),
      kill: async () => {
        call("kill");
        if (bed.task === undefined) throw notFound("task c");
        bed.task.status = Status.STOPPED;
      },
      delete: async () => {
        call("delete");
        if (bed.task === undefined) throw notFound("task c");
        if (bed.task.status === Status.RUNNING) throw new FaultError("unknown", "cannot delete a running process");
        bed.task = undefined;
        return { exitStatus: 137 };
      },
    },
  } as unknown as Client;
  return { bed, context: { client, env: {} } as unknown as CommandContext };
}

describe("destroyContainer, by force, of a container that is being restarted", () => {
  test("ends the task that was put in place before the container was taken from the monitor", async () => {
    const { bed, context } = daemonOf(undefined, {
      "let go": () => {
        bed.task = { pid: 8, status: Status.RUNNING };
      },
    });
    await destroyContainer(context, supervised, true);
    expect(bed.task).toBeUndefined();
    expect(bed.calls.slice(-3)).toEqual(["kill", "delete", "remove"]);
  });

  test("ends a task that starts just while it is deleted", async () => {
    const task: { pid: number; status: Status } = { pid: 8, status: Status.CREATED };
    const { bed, context } = daemonOf(task, {
      delete: () => {
        task.status = Status.RUNNING;
      },
    });
    // It was made before, and was not begun when it was looked at.
    await destroyContainer(context, supervised, true);
    expect(bed.task).toBeUndefined();
    expect(bed.calls.slice(-3)).toEqual(["kill", "delete", "remove"]);
  });
});
