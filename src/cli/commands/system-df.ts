import { readStore } from "../../client/system/read-store.ts";
import type { StoreNode } from "../../client/system/store-graph.ts";
import { readActivity } from "../activity.ts";
import type { Command, CommandContext } from "../command.ts";
import { type DiskReport, type DiskRow, diskReport, type HolderRow } from "../disk-report.ts";
import { printJson } from "../json.ts";
import { shortKey } from "../object-names.ts";
import type { Output } from "../output.ts";
import { styleOf } from "../style.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, formatBytes } from "../units.ts";

export const command: Command = {
  summary: "Show what takes how much room, and why",
  usage: "[OPTIONS]",
  description:
    "What is shared is counted once, for images first, then containers, then leases. RECLAIMABLE is what the removal of all unused images, or of all stopped containers, gives back; leftovers go with the next garbage collection.",
  options: [
    { long: "verbose", short: "v", help: "Each image, container and lease: what it keeps, and what only it keeps" },
    { long: "all-namespaces", short: "A", help: "Of all namespaces, one after the other" },
  ],
  examples: [
    ["lighter system df", "a summary"],
    ["lighter system df -v", "object by object, the largest first"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { args, client, namespace, json, output } = context;
    const names = args.flag("all-namespaces")
      ? (await client.namespaces.list({})).namespaces.map(({ name }) => name)
      : [namespace];
    const told: object[] = [];
    for (const name of names) {
      const report = await reportOf(context, name);
      if (json) told.push({ namespace: name, ...plainReport(report, args.flag("verbose")) });
      else printReport(context, report, names.length > 1 ? name : undefined);
    }
    if (json) printJson(output, args.flag("all-namespaces") ? told : told[0]);
    return 0;
  },
};

async function reportOf(context: CommandContext, namespace: string): Promise<DiskReport> {
  if (namespace === context.namespace) return await read(context.client);
  const { openClient } = await import("../../client/client.ts");
  using client = openClient({ address: context.address, namespace });
  return await read(client);
}

async function read(client: CommandContext["client"]): Promise<DiskReport> {
  const [graph, activity] = await Promise.all([readStore(client, { measure: true }), readActivity(client)]);
  return diskReport(graph, activity, new Date());
}

function plainReport(report: DiskReport, verbose: boolean): object {
  const { rows, sizeBytes, reclaimableBytes, holders, leftovers } = report;
  const plain = leftovers.map((node) => ({ kind: node.kind, key: node.key, sizeBytes: node.sizeBytes }));
  return { rows, sizeBytes, reclaimableBytes, ...(verbose ? { holders, leftovers: plain } : {}) };
}

function printReport({ args, output }: CommandContext, report: DiskReport, namespace: string | undefined): void {
  const style = styleOf(output.color);
  if (namespace !== undefined) output.line(style.bold(`namespace ${namespace}`));
  const always = ["Images", "Containers"];
  const total = { type: "Total", count: 0, inUse: 0, ...report };
  const rows = [...report.rows.filter(({ type, count }) => count > 0 || always.includes(type)), total];
  printTable(output, summaryColumns(output), rows);
  if (args.flag("verbose")) {
    if (report.holders.length > 0) {
      output.line("");
      printTable(output, holderColumns(new Date()), report.holders);
    }
    if (report.leftovers.length > 0) {
      output.line("");
      output.line(style.bold("Leftovers, which nothing keeps:"));
      printTable(output, leftoverColumns, report.leftovers);
    }
  }
  if (namespace !== undefined) output.line("");
}

function summaryColumns(output: Output): Column<DiskRow>[] {
  const style = styleOf(output.color);
  const bold = (text: string, { type }: DiskRow): string => (type === "Total" ? style.bold(text) : text);
  const count = (value: number, { type }: DiskRow): string => (type === "Total" ? "" : String(value));
  return [
    { title: "TYPE", value: ({ type }) => type, paint: bold },
    { title: "COUNT", value: (row) => count(row.count, row), align: "right" },
    { title: "IN USE", value: (row) => count(row.inUse, row), align: "right" },
    { title: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right", paint: bold },
    {
      title: "RECLAIMABLE",
      value: reclaimableText,
      align: "right",
      paint: (text, { reclaimableBytes }) => (reclaimableBytes > 0 ? style.yellow(text) : style.dim(text)),
    },
  ];
}

function reclaimableText({ type, sizeBytes, reclaimableBytes }: DiskRow): string {
  if (reclaimableBytes === 0) return "-";
  // Removing all containers of an image may let go of more than what is counted for them.
  const share =
    sizeBytes > 0 && type !== "Containers" ? ` (${Math.round((100 * reclaimableBytes) / sizeBytes)} %)` : "";
  return `${formatBytes(reclaimableBytes)}${share}`;
}

function holderColumns(now: Date): Column<HolderRow>[] {
  return [
    { title: "KIND", value: ({ kind }) => kind },
    { title: "NAME", value: ({ kind, name }) => shortKey(kind, name), shrink: true },
    { title: "KEEPS", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
    { title: "ALONE", value: ({ uniqueBytes }) => formatBytes(uniqueBytes), align: "right" },
    { title: "OBJECTS", value: ({ objects }) => String(objects), align: "right", spare: 2 },
    { title: "CREATED", value: ({ createdAt }) => formatAgo(createdAt, now), spare: 1 },
    { title: "STATE", value: ({ why }) => why },
  ];
}

const leftoverColumns: readonly Column<StoreNode>[] = [
  { title: "KIND", value: ({ kind }) => kind },
  { title: "NAME", value: ({ kind, key }) => shortKey(kind, key), shrink: true },
  { title: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
];
