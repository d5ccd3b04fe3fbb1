import { findSnapshot } from "../../client/snapshots/snapshots.ts";
import type { Command } from "../command.ts";
import { parseLabels } from "../label-words.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";

export const command: Command = {
  summary: "Make a snapshot that was written into one to build on",
  usage: "[OPTIONS] NAME KEY",
  description: "The active snapshot KEY becomes the committed NAME; others may stand on it from then on.",
  options: [
    snapshotterOption,
    { long: "label", short: "l", value: "KEY=VALUE", many: true, help: "A label; may be repeated" },
  ],
  examples: [["lighter snapshot commit tools work", "work is tools from now on"]],
  words: [2, 2],
  completes: "snapshot",
  run: async (context) => {
    const { client, args, output } = context;
    const snapshotter = await snapshotterOf(context);
    const [name = "", given = ""] = args.positional;
    const { name: key } = await findSnapshot(client, snapshotter, given);
    const labels = parseLabels(args.list("label"));
    labels["containerd.io/gc.root"] ??= new Date().toISOString();
    await client.snapshots.commit({ snapshotter, name, key, labels });
    output.line(name);
    return 0;
  },
};
