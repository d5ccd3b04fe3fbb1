import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { TaskManager } from "../tasks/index.ts";

/** What can be seen of a container's task. */
export interface SeenTask {
  readonly kind: "running" | "paused" | "created" | "stopped" | "none" | "unknown";
  /** 0 where there is none. */
  readonly pid: number;
  /** How it ended, where that is known. */
  readonly exitStatus: number | undefined;
  /** Tells one end of a container from another. */
  readonly end: string | undefined;
  /** Why nothing is known. */
  readonly trouble: string | undefined;
}

const kinds: ReadonlyMap<Status, SeenTask["kind"]> = new Map([
  [Status.CREATED, "created"],
  [Status.RUNNING, "running"],
  [Status.STOPPED, "stopped"],
  [Status.PAUSED, "paused"],
  [Status.PAUSING, "paused"],
]);

/** Looks at a task. Never rejects: what can't be told is `unknown`. */
export async function seeTask(tasks: Pick<TaskManager, "get">, ctx: Ctx, id: string): Promise<SeenTask> {
  try {
    const { status, pid, exitStatus, exitedAt } = await (await tasks.get(ctx, id)).state("");
    const kind = kinds.get(status) ?? "unknown";
    const trouble = kind === "unknown" ? "its shim does not tell its state" : undefined;
    if (kind !== "stopped") return { kind, pid, exitStatus: undefined, end: undefined, trouble };
    return { kind, pid, exitStatus, end: endOf(exitedAt), trouble };
  } catch (error) {
    if (isFault(error, "notFound")) return nothing;
    return { ...nothing, kind: "unknown", trouble: messageOf(error) };
  }
}

const nothing: SeenTask = { kind: "none", pid: 0, exitStatus: undefined, end: undefined, trouble: undefined };

/** A time, for comparison with itself alone: no clock is asked whether it is past. */
function endOf(at: Timestamp | undefined): string {
  return `${at?.seconds ?? 0n}.${at?.nanos ?? 0}`;
}
