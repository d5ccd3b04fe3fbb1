import type { LabelRecord } from "../../lib/labels.ts";
import {
  formatRestartRecord,
  isExplicitlyStopped,
  restartCountOf,
  restartLabels,
  type WaitingRestart,
} from "../../lib/restart-labels.ts";
import { type Facts, judge, paidRestart } from "./verdict.ts";

/**
 * The labels that decide on a restart; undefined where none is wanted, or it is decided already.
 * Shape: pure, for it runs inside the store's transaction. The count and the decision are one write: whoever dies after it does the
 * restart without counting again, and whoever dies before it has neither. `paid` is what this daemon decided already for
 * the same end and somebody's update has wiped away since: it is not counted twice.
 */
export function planRestart(
  labels: LabelRecord,
  facts: Facts,
  waitMs: number,
  paid: WaitingRestart | undefined,
): LabelRecord | undefined {
  const verdict = judge(labels, facts);
  if (verdict.act !== "restart" || paidRestart(labels, facts.seen) !== undefined) return undefined;
  const counted = restartCountOf(labels) ?? 0;
  const count = paid === undefined ? Math.min(counted + 1, Number.MAX_SAFE_INTEGER) : Math.max(counted, paid.count);
  const { reason, exitStatus } = verdict;
  const record: WaitingRestart = { state: "waiting", count, waitMs, reason, task: facts.seen.end, exitStatus };
  return {
    [restartLabels.count]: String(count),
    [restartLabels.record]: formatRestartRecord(record),
    // Only `always`, at the daemon's start, comes here with what was stopped on purpose.
    ...(isExplicitlyStopped(labels) ? { [restartLabels.explicitlyStopped]: "false" } : {}),
  };
}
