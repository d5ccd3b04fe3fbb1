import { findSnapshot, snapshotUsage } from "../../client/snapshots/snapshots.ts";
import { readStore } from "../../client/system/read-store.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";
import { printJson } from "../json.ts";
import { holdersOf } from "../object-names.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";

export const command: Command = {
  summary: "Show all that is known of a snapshot",
  usage: "[OPTIONS] SNAPSHOT...",
  description: "As JSON: its parent, labels, size, and what keeps it. The beginning of a layer's digest will do.",
  options: [snapshotterOption],
  examples: [["lighter snapshot info web", "the root of container web"]],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "snapshot",
  json: true,
  run: async (context) => {
    const { client, args, output } = context;
    const snapshotter = await snapshotterOf(context);
    const holders = (await readStore(client, { measure: false })).holders();
    const found: object[] = [];
    const code = await forEach(context, args.positional, "snapshot info", async (word) => {
      const snapshot = await findSnapshot(client, snapshotter, word);
      const usage = await snapshotUsage(client, snapshotter, snapshot.name);
      const usedBy = holdersOf(holders, { kind: "snapshot", key: `${snapshotter}/${snapshot.name}` });
      found.push({ ...snapshot, ...usage, usedBy: usedBy.map(({ kind, key }) => ({ kind, key })) });
    });
    if (found.length > 0) printJson(output, found);
    return code;
  },
};
