import { findSnapshot } from "../../client/snapshots/snapshots.ts";
import type { Command } from "../command.ts";
import { printMounts } from "../mount-words.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";

export const command: Command = {
  summary: "Show how a snapshot is mounted",
  usage: "[OPTIONS] SNAPSHOT [DIR]",
  description:
    "As commands for a shell. Only active ones and views can be mounted; lighter image mount does it for an image.",
  options: [snapshotterOption],
  examples: [
    ["lighter snapshot mounts web /mnt", "the command that mounts it on /mnt"],
    ["lighter snapshot mounts web /mnt | sudo sh", "does it"],
  ],
  words: [1, 2],
  completes: "snapshot",
  json: true,
  run: async (context) => {
    const snapshotter = await snapshotterOf(context);
    const [given = "", target = "DIR"] = context.args.positional;
    const { name: key } = await findSnapshot(context.client, snapshotter, given);
    const { mounts } = await context.client.snapshots.mounts({ snapshotter, key });
    printMounts(context, mounts, target);
    return 0;
  },
};
