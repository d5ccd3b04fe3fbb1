import { create } from "@bufbuild/protobuf";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { type Mount, MountSchema } from "../../gen/containerd/types/mount_pb.ts";
import { type Ctx, throwIfAborted } from "../../lib/ctx.ts";
import { invalidArgument, isFault, wrapFault } from "../../lib/faults.ts";
import { restartLabels } from "../../lib/restart-labels.ts";
import { anyToJson } from "../../wire/any.ts";
import type { ContainerName, ContainerStore } from "../containers/index.ts";
import type { Snapshotters } from "../snapshots/index.ts";
import type { ProcessIo, TaskManager } from "../tasks/index.ts";
import { type SeenTask, seeTask } from "./seen-task.ts";
import type { RestartFailpoint } from "./steps.ts";

export interface RestartParts {
  readonly containers: Pick<ContainerStore, "findSupervised">;
  readonly tasks: Pick<TaskManager, "abandon" | "create" | "delete" | "get">;
  readonly snapshotters: Pick<Snapshotters, "get">;
  readonly failpoint: RestartFailpoint;
}

export interface Restart {
  readonly ctx: Ctx;
  readonly name: ContainerName;
  /** What was decided upon: who finds another task does nothing. */
  readonly expected: SeenTask;
  /**
   * Makes sure that the decision is on the disk, which may have been wiped away by another's update of the container.
   * Answers the container; undefined when no restart is wanted any more.
   */
  readonly decided: (seen: SeenTask) => Promise<Container | undefined>;
  /** Whether a container that was read anew is this one, and still to run. */
  readonly isWanted: (container: Container | undefined) => boolean;
  /** Told before the monitor itself deletes a task. */
  readonly deleting: (pid: number) => void;
}

/**
 * Puts a new task in the place of the one that ended. Answers whether it did: else somebody else has started one, or it is
 * wanted no more.
 * Errors: why no task could be started; nothing of a new one is left then.
 * Effects: what may fail for the container's own faults (its snapshot is gone, its spec is none) fails before the old task goes. At
 * each step the labels say what is to be done, so that whoever dies here is followed by one who does it.
 */
export async function restartTask(parts: RestartParts, restart: Restart): Promise<boolean> {
  const { tasks, failpoint } = parts;
  const { ctx, name } = restart;
  const seen = await seeTask(tasks, ctx, name.id);
  throwIfAborted(ctx.signal);
  const { kind, pid, end } = restart.expected;
  if (seen.kind !== kind || seen.pid !== pid || seen.end !== end) return false;
  const container = await restart.decided(seen);
  throwIfAborted(ctx.signal);
  if (container === undefined) return false;
  const prepared = await prepare(parts.snapshotters, ctx, container);
  throwIfAborted(ctx.signal);
  if (seen.kind !== "none") {
    restart.deleting(seen.pid);
    await deleteOld(tasks, ctx, name.id);
    throwIfAborted(ctx.signal);
  }
  failpoint("restart.deleted");
  return startNew(parts, restart, prepared);
}

interface Prepared {
  readonly io: ProcessIo;
  readonly rootfs: readonly Mount[];
}

async function startNew(parts: RestartParts, restart: Restart, prepared: Prepared): Promise<boolean> {
  const { containers, tasks, failpoint } = parts;
  const { ctx, name } = restart;
  const { id } = name;
  if (!restart.isWanted(containers.findSupervised(name))) return false;
  try {
    await tasks.create(ctx, { id, ...prepared, options: undefined, runtimePath: "", checkpoint: undefined });
  } catch (error) {
    if (isFault(error, "alreadyExists")) return false;
    throw error;
  }
  failpoint("restart.created");
  // Its container may have been removed, or been told to stop, while the runtime was at work.
  if (ctx.aborted || !restart.isWanted(containers.findSupervised(name))) {
    await tasks.abandon(ctx, id);
    return false;
  }
  try {
    await (await tasks.get(ctx, id)).start("");
  } catch (error) {
    // Why it can't be started is the failure to tell; one that can't be removed is found by the next look.
    await tasks.abandon(ctx, id).catch(() => undefined);
    throw error;
  }
  failpoint("restart.started");
  if (containers.findSupervised(name) === undefined) await tasks.abandon(ctx, id);
  return true;
}

async function deleteOld(tasks: Pick<TaskManager, "delete">, ctx: Ctx, id: string): Promise<void> {
  try {
    await tasks.delete(ctx, id);
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}

/** What the new task needs of the container. Source: containerd plugins/restart/change.go, startChange; client/container.go, NewTask. */
async function prepare(snapshotters: Pick<Snapshotters, "get">, ctx: Ctx, container: Container): Promise<Prepared> {
  const terminal = hasTerminal(container);
  const uri = container.labels[restartLabels.logUri] ?? "";
  if (uri !== "" && !URL.canParse(uri)) throw invalidArgument(`${restartLabels.logUri} is no URI`);
  const io = { stdin: "", stdout: uri, stderr: terminal ? "" : uri, terminal };
  const { snapshotter, snapshotKey } = container;
  if (snapshotKey === "") return { io, rootfs: [] };
  try {
    const mounts = await snapshotters.get(snapshotter).mounts(ctx, snapshotKey);
    return { io, rootfs: mounts.map((mount) => create(MountSchema, { ...mount, options: [...mount.options] })) };
  } catch (error) {
    throw wrapFault("its root", error);
  }
}

function hasTerminal({ spec }: Container): boolean {
  if (spec === undefined) return false;
  const decoded = anyToJson(spec) as { readonly process?: { readonly terminal?: unknown } } | null;
  return decoded?.process?.terminal === true;
}
