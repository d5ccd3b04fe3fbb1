import { messageOf, quote } from "../../lib/faults.ts";
import type { LabelRecord } from "../../lib/labels.ts";
import {
  isExplicitlyStopped,
  parseRestartPolicy,
  type RestartPolicy,
  restartCountOf,
  restartLabels,
  restartRecordOf,
  type WaitingRestart,
} from "../../lib/restart-labels.ts";
import type { SeenTask } from "./seen-task.ts";

/** What is known of a container besides its labels. */
export interface Facts {
  readonly seen: SeenTask;
  /** How its last task ended, where that was heard: the task itself may be gone. */
  readonly heardExit: number | undefined;
  /** It was running in this life of the daemon, or was there when it began: a task that is gone without an end was lost. */
  readonly ranBefore: boolean;
  /** The daemon has just come up, and the container was there before. */
  readonly atStart: boolean;
}

export type Verdict =
  /** All is as it should be. */
  | { readonly act: "nothing" }
  | { readonly act: "restart"; readonly reason: string; readonly exitStatus: number | undefined }
  /** It shall be stopped. */
  | { readonly act: "stop" }
  /** It ended as its policy takes for the end; that is noted, for the task may be deleted. */
  | { readonly act: "end"; readonly exitStatus: number }
  /** Its labels can't be followed. */
  | { readonly act: "refuse"; readonly why: string };

const nothing: Verdict = { act: "nothing" };
/** Names of statuses that need no deed, but are no mistake. Source: containerd client/process.go, ProcessStatus. */
const otherStatuses: readonly string[] = ["created", "paused", "pausing", "unknown"];
/** What is said of the end of a task that is lost. Source: containerd core/runtime/v2/shim.go, cleanupAfterDeadShim. */
const lostExitStatus = 255;

/**
 * Says what a container's labels want done.
 * Source: containerd plugins/restart/monitor.go, monitor, and core/runtime/restart/restart.go, Reconcile. As docker has it, what was stopped
 * on purpose stays so under every policy, but `always` runs it again when the daemon starts.
 */
export function judge(labels: LabelRecord, facts: Facts): Verdict {
  const desired = labels[restartLabels.status] ?? "";
  const { kind } = facts.seen;
  if (desired === "stopped") return ["running", "paused", "created"].includes(kind) ? { act: "stop" } : nothing;
  if (desired !== "running") {
    return otherStatuses.includes(desired)
      ? nothing
      : refuse(`${restartLabels.status} ${quote(cut(desired))} is not known`);
  }
  if (kind === "running" || kind === "paused" || kind === "unknown") return nothing;
  let policy: RestartPolicy;
  try {
    policy = parseRestartPolicy(labels[restartLabels.policy] ?? "");
  } catch (error) {
    return refuse(messageOf(error));
  }
  if (policy.name === "no") return nothing;
  if (isExplicitlyStopped(labels) && !(policy.name === "always" && facts.atStart)) return nothing;
  return policy.name === "on-failure"
    ? judgeFailure(labels, facts, policy)
    : restart(facts, facts.seen.exitStatus ?? facts.heardExit);
}

/** The restart that is decided already for what is seen; undefined when what is seen asks for another one. */
export function paidRestart(labels: LabelRecord, { kind, end }: SeenTask): WaitingRestart | undefined {
  const record = restartRecordOf(labels);
  if (record?.state !== "waiting") return undefined;
  // A task that was made and has not begun is what a restart leaves that was cut off; a missing one, too.
  return kind === "stopped" && record.task !== end ? undefined : record;
}

function judgeFailure(labels: LabelRecord, facts: Facts, { maxRetries }: RestartPolicy): Verdict {
  const paid = paidRestart(labels, facts.seen);
  if (paid !== undefined) return { act: "restart", reason: paid.reason, exitStatus: paid.exitStatus };
  if (facts.seen.kind === "created") return nothing;
  const known = knownExit(labels, facts);
  if (known === undefined && !facts.ranBefore) return nothing;
  const exitStatus = known ?? lostExitStatus;
  if (exitStatus === 0) return { act: "end", exitStatus };
  const count = restartCountOf(labels);
  if (count === undefined)
    return refuse(`${restartLabels.count} ${quote(cut(labels[restartLabels.count] ?? ""))} is no count`);
  if (maxRetries !== 0 && count >= maxRetries) return { act: "end", exitStatus };
  return restart(facts, known);
}

function knownExit(labels: LabelRecord, { seen, heardExit }: Facts): number | undefined {
  const record = restartRecordOf(labels);
  return seen.exitStatus ?? heardExit ?? (record?.state === "ended" ? record.exitStatus : undefined);
}

function restart({ seen }: Facts, exitStatus: number | undefined): Verdict {
  if (seen.kind === "created") return { act: "restart", reason: "its task was never started", exitStatus };
  const reason = exitStatus === undefined ? "it has no task" : `it exited with ${exitStatus}`;
  return { act: "restart", reason, exitStatus };
}

function refuse(why: string): Verdict {
  return { act: "refuse", why };
}

function cut(text: string): string {
  return text.length <= 64 ? text : `${text.slice(0, 63)}…`;
}
