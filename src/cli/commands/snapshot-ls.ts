import { listSnapshots, type Snapshot, snapshotUsage } from "../../client/snapshots/snapshots.ts";
import { readStore } from "../../client/system/read-store.ts";
import type { StoreNode } from "../../client/system/store-graph.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { holdersOf, holdersText, shortSnapshot } from "../object-names.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { styleOf } from "../style.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, formatBytes } from "../units.ts";

interface SnapshotRow extends Snapshot {
  readonly sizeBytes: number;
  readonly usedBy: readonly StoreNode[];
}

export const command: Command = {
  summary: "List snapshots and who needs them",
  usage: "[OPTIONS]",
  description:
    "Committed ones are unpacked layers; active ones are written into, as the roots of containers are. A size is what the snapshot adds to its parent.",
  options: [
    snapshotterOption,
    { long: "quiet", short: "q", help: "Only the names" },
    { long: "no-trunc", help: "Whole names" },
  ],
  examples: [
    ["lighter snapshot ls", "the newest first"],
    ["lighter snapshot ls -q --snapshotter native", "names of another snapshotter's"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { client, args, json, output } = context;
    const snapshotter = await snapshotterOf(context);
    if (args.flag("quiet")) {
      for (const { name } of await listSnapshots(client, snapshotter)) output.line(name);
      return 0;
    }
    const rows = await rowsOf(context, snapshotter);
    if (json) {
      printJson(
        output,
        rows.map((row) => ({ ...row, usedBy: row.usedBy.map(({ kind, key }) => ({ kind, key })) })),
      );
    } else printTable(output, columns(args.flag("no-trunc"), new Date(), output.color), rows);
    return 0;
  },
};

async function rowsOf({ client }: CommandContext, snapshotter: string): Promise<SnapshotRow[]> {
  const [snapshots, graph] = await Promise.all([
    listSnapshots(client, snapshotter),
    readStore(client, { measure: false }),
  ]);
  const holders = graph.holders();
  const rows = await Promise.all(
    snapshots.map(async (snapshot) => ({
      ...snapshot,
      sizeBytes: (await snapshotUsage(client, snapshotter, snapshot.name))?.sizeBytes ?? 0,
      usedBy: holdersOf(holders, { kind: "snapshot", key: `${snapshotter}/${snapshot.name}` }),
    })),
  );
  return rows.toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
}

function columns(whole: boolean, now: Date, color: boolean): Column<SnapshotRow>[] {
  const style = styleOf(color);
  const short = (name: string): string => (whole ? name : shortSnapshot(name));
  return [
    { title: "NAME", value: ({ name }) => short(name), shrink: !whole },
    { title: "KIND", value: ({ kind }) => kind },
    { title: "PARENT", value: ({ parent }) => (parent === "" ? "-" : short(parent)), spare: 2 },
    { title: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
    { title: "CREATED", value: ({ createdAt }) => formatAgo(createdAt, now), spare: 1 },
    {
      title: "USED BY",
      value: ({ usedBy }) => holdersText(usedBy),
      paint: (text, { usedBy }) => (usedBy.length === 0 ? style.yellow(text) : text),
    },
  ];
}
