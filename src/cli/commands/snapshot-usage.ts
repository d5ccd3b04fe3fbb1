import { findSnapshot, listSnapshots, type Snapshot, snapshotUsage } from "../../client/snapshots/snapshots.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { shortSnapshot } from "../object-names.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { type Column, printTable } from "../table.ts";
import { formatBytes } from "../units.ts";

interface UsageRow {
  readonly name: string;
  readonly sizeBytes: number;
  readonly inodes: number;
}

export const command: Command = {
  summary: "Show what snapshots take on disk",
  usage: "[OPTIONS] [SNAPSHOT...]",
  description: "Without its parents: what is shared is counted once. The largest comes first.",
  options: [snapshotterOption, { long: "bytes", short: "b", help: "In bytes" }],
  examples: [
    ["lighter snapshot usage", "all of them"],
    ["lighter snapshot usage web", "what container web wrote"],
  ],
  words: [0, Number.MAX_SAFE_INTEGER],
  completes: "snapshot",
  json: true,
  run: async (context) => {
    const { client, args, json, output } = context;
    const snapshotter = await snapshotterOf(context);
    const words = args.positional;
    const found: Snapshot[] =
      words.length === 0
        ? await listSnapshots(client, snapshotter)
        : await Promise.all(words.map((word) => findSnapshot(client, snapshotter, word)));
    const usages = await Promise.all(
      found.map(async ({ name }) => ({ name, ...((await snapshotUsage(client, snapshotter, name)) ?? none) })),
    );
    const rows = usages.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
    if (json) printJson(output, rows);
    else printTable(output, columns(args.flag("bytes")), rows);
    return 0;
  },
};

const none = { sizeBytes: 0, inodes: 0 };

function columns(plain: boolean): Column<UsageRow>[] {
  return [
    { title: "NAME", value: ({ name }) => shortSnapshot(name), shrink: true },
    {
      title: "SIZE",
      value: ({ sizeBytes }) => (plain ? String(sizeBytes) : formatBytes(sizeBytes)),
      align: "right",
    },
    { title: "INODES", value: ({ inodes }) => String(inodes), align: "right" },
  ];
}
