import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Mount } from "../../gen/containerd/types/mount_pb.ts";
import type { Process } from "../../gen/containerd/v1/types/task_pb.ts";
import { isFault } from "../../lib/faults.ts";
import { rfc3339 } from "../../lib/rfc3339.ts";
import type { Client } from "../client.ts";
import type { StdioPaths } from "../stdio/fifo-set.ts";
import { removeSnapshot } from "./create.ts";
import { containerLabels, setLabels } from "./labels.ts";

/** How a process ended. */
export interface ExitRecord {
  readonly status: number;
  readonly at: Date;
}

export interface TaskOptions {
  readonly id: string;
  readonly mounts: readonly Mount[];
  readonly stdio: StdioPaths;
  readonly terminal: boolean;
  readonly checkpoint?: Descriptor | undefined;
}

/** A process that is created but not started. */
export interface PendingProcess {
  readonly pid: number;
  /** Starts it. The wait for its end is sent before, so that no exit is missed. */
  start(): Promise<StartedProcess>;
}

export interface StartedProcess {
  readonly pid: number;
  readonly exit: Promise<ExitRecord>;
}

/** Creates a container's task. Errors: alreadyExists, and what the runtime says. */
export async function createTask(client: Client, options: TaskOptions): Promise<PendingProcess> {
  const { id, mounts, stdio, terminal, checkpoint } = options;
  const request = { containerId: id, rootfs: [...mounts], ...stdio, terminal };
  const { pid } = await client.tasks.create(checkpoint === undefined ? request : { ...request, checkpoint });
  return { pid, start: () => startProcess(client, id, "") };
}

/** Starts a created process: a task, or with `execId` one of its others. */
export async function startProcess(client: Client, id: string, execId: string): Promise<StartedProcess> {
  const exit = waitProcess(client, id, execId);
  // A failed start makes the wait fail too; the start's own failure is the one to tell.
  exit.catch(() => {});
  const { pid } = await client.tasks.start({ containerId: id, execId });
  return { pid, exit };
}

/** Waits for a process's end. Errors: notFound when there is none. */
export async function waitProcess(client: Client, id: string, execId = ""): Promise<ExitRecord> {
  const { exitStatus, exitedAt } = await client.tasks.wait({ containerId: id, execId });
  return { status: exitStatus, at: dateOf(exitedAt) };
}

/** The task's state, or undefined when the container has no task. */
export async function getTask(client: Client, id: string, execId = ""): Promise<Process | undefined> {
  try {
    return (await client.tasks.get({ containerId: id, execId })).process;
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

/** Deletes a stopped task; one that is gone is no failure. */
export async function deleteTask(client: Client, id: string): Promise<ExitRecord | undefined> {
  try {
    const { exitStatus, exitedAt } = await client.tasks.delete({ containerId: id });
    return { status: exitStatus, at: dateOf(exitedAt) };
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

/** Writes a stopped task's exit into the container's labels and deletes it, where `ps` and `wait` find it. */
export async function retireTask(client: Client, id: string, exit: ExitRecord): Promise<void> {
  await setLabels(client, id, {
    [containerLabels.exitStatus]: String(exit.status),
    [containerLabels.exitedAt]: exit.at.toJSON(),
  });
  // The task remembers until here: where the label cannot be written, on a full disk, nothing is lost.
  await deleteTask(client, id);
}

/** Removes a container without a task: its record and its snapshot. */
export async function removeContainer(
  client: Client,
  container: Pick<Container, "id" | "snapshotter" | "snapshotKey">,
): Promise<void> {
  const { id, snapshotter, snapshotKey } = container;
  const record = client.containers.delete({ id }).catch((error: unknown) => {
    if (!isFault(error, "notFound")) throw error;
  });
  // Once the record is gone the snapshot may be collected; removing it now gives the room back at once.
  const snapshot = snapshotKey === "" ? undefined : removeSnapshot(client, snapshotter, snapshotKey);
  await Promise.all([record, snapshot]);
}

/** A date that JSON has to the nanosecond, as the daemon keeps it. */
class ExactDate extends Date {
  readonly #seconds: number;
  readonly #nanos: number;

  constructor(seconds: number, nanos: number) {
    super(seconds * 1000 + Math.floor(nanos / 1e6));
    this.#seconds = seconds;
    this.#nanos = nanos;
  }

  override toJSON(): string {
    return rfc3339(this.#seconds, this.#nanos);
  }
}

export function dateOf(at: { readonly seconds: bigint; readonly nanos: number } | undefined): Date {
  return at === undefined ? new Date(0) : new ExactDate(Number(at.seconds), at.nanos);
}
