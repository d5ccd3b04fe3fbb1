import type { NamespaceCounts, TakeoverPlan } from "./plan.ts";

/** A plan for programs. */
export interface PlanReport {
  readonly source: string;
  readonly sizeBytes: number;
  readonly transaction: string;
  readonly schema: number;
  readonly namespaces: readonly NamespaceCounts[];
  readonly tasks: readonly { readonly namespace: string; readonly id: string; readonly isRunning: boolean }[];
  readonly notes: readonly string[];
}

export function planReport(plan: TakeoverPlan): PlanReport {
  const { path, sizeBytes, transaction, schema, namespaces, tasks, notes } = plan;
  return {
    source: path,
    sizeBytes,
    transaction: String(transaction),
    schema,
    namespaces,
    tasks: tasks.map(({ namespace, id, isRunning }) => ({ namespace, id, isRunning })),
    notes,
  };
}

const columns = ["images", "containers", "sandboxes", "blobs", "ingests", "snapshots", "leases"] as const;

/** A plan for people: a table of what comes over, the tasks, and what stays behind. */
export function planLines(plan: TakeoverPlan): readonly string[] {
  const header = ["NAMESPACE", ...columns.map((column) => column.toUpperCase())];
  const rows = plan.namespaces.map((counts) => [counts.namespace, ...columns.map((column) => String(counts[column]))]);
  const widths = header.map((_title, at) => Math.max(...[header, ...rows].map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  ");
  // Names are others' words, and a terminal would obey what is in them.
  const printable = (text: string): string => text.replace(/\p{Cc}/gu, "?");
  const running = plan.tasks.filter(({ isRunning }) => isRunning);
  return [
    `${plan.path}: ${plan.sizeBytes} bytes, schema ${plan.schema}, transaction ${plan.transaction}`,
    "",
    ...[header, ...rows].map(line),
    "",
    running.length === 0
      ? "No shim runs: there are no tasks to adopt."
      : `Tasks whose shims run are adopted (${running.length}): ${running.map(({ namespace, id }) => `${namespace}/${id}`).join(", ")}`,
    ...plan.notes.map((note) => `Note: ${note}`),
  ].map(printable);
}
