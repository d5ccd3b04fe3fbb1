import { type HeldLease, listHeldLeases } from "../../client/leases/leases.ts";
import { expiryOf } from "../../client/system/gc-labels.ts";
import { readStore } from "../../client/system/read-store.ts";
import { nodeName, type StoreGraph } from "../../client/system/store-graph.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, formatBytes, formatSpan } from "../units.ts";

interface LeaseRow extends HeldLease {
  readonly expiresAt: Date | undefined;
  readonly sizeBytes: number;
}

export const command: Command = {
  summary: "List leases and what they keep",
  usage: "[OPTIONS]",
  description: "A lease keeps content and snapshots from garbage collection: a pull holds one while it runs.",
  options: [{ long: "quiet", short: "q", help: "Only the ids" }],
  examples: [["lighter lease ls", "who holds what, and until when"]],
  words: [0, 0],
  json: true,
  run: async ({ client, args, json, output }) => {
    const leases = await listHeldLeases(client);
    if (args.flag("quiet")) {
      for (const { id } of leases) output.line(id);
      return 0;
    }
    const graph = await readStore(client, { measure: true });
    const rows = leases.map((lease) => rowOf(lease, graph));
    if (json) printJson(output, rows);
    else printTable(output, columns(new Date()), rows);
    return 0;
  },
};

function rowOf(lease: HeldLease, graph: StoreGraph): LeaseRow {
  const node = graph.nodes.get(nodeName("lease", lease.id));
  const sizeBytes = node === undefined ? 0 : graph.sizeOf(graph.closure([node]));
  return { ...lease, expiresAt: expiryOf(lease.labels), sizeBytes };
}

function columns(now: Date): Column<LeaseRow>[] {
  return [
    { title: "ID", value: ({ id }) => id, shrink: true },
    { title: "RESOURCES", value: ({ resources }) => String(resources.length), align: "right" },
    { title: "KEEPS", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
    { title: "CREATED", value: ({ createdAt }) => formatAgo(createdAt, now), spare: 1 },
    { title: "ENDS", value: ({ expiresAt }) => endText(expiresAt, now) },
  ];
}

function endText(at: Date | undefined, now: Date): string {
  if (at === undefined) return "when it is removed";
  return at < now ? "expired" : `in ${formatSpan(at.getTime() - now.getTime())}`;
}
