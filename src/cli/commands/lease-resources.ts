import { type LeaseResource, leaseResources } from "../../client/leases/leases.ts";
import { readStore } from "../../client/system/read-store.ts";
import { nodeName } from "../../client/system/store-graph.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { shortKey } from "../object-names.ts";
import { type Column, printTable } from "../table.ts";
import { formatBytes } from "../units.ts";

interface ResourceRow extends LeaseResource {
  readonly sizeBytes: number | undefined;
}

export const command: Command = {
  summary: "List what a lease keeps",
  usage: "[OPTIONS] LEASE",
  options: [{ long: "no-trunc", help: "Whole names" }],
  examples: [["lighter lease resources build", "by kind and name"]],
  words: [1, 1],
  completes: "lease",
  json: true,
  run: async ({ client, args, json, output }) => {
    const resources = await leaseResources(client, args.positional[0] ?? "");
    const graph = await readStore(client, { measure: true });
    const rows = resources.map((one) => ({
      ...one,
      sizeBytes: graph.nodes.get(nodeName(one.kind, one.key))?.sizeBytes,
    }));
    if (json) printJson(output, rows);
    else printTable(output, columns(args.flag("no-trunc")), rows);
    return 0;
  },
};

function columns(whole: boolean): Column<ResourceRow>[] {
  return [
    { title: "KIND", value: ({ kind }) => kind },
    { title: "NAME", value: ({ kind, key }) => (whole ? key : shortKey(kind, key)), shrink: true },
    {
      title: "SIZE",
      value: ({ sizeBytes }) => (sizeBytes === undefined ? "is not there" : formatBytes(sizeBytes)),
      align: "right",
    },
  ];
}
