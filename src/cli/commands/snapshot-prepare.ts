import type { Command } from "../command.ts";
import { makeSnapshot, newSnapshotOptions } from "../make-snapshot.ts";

export const command: Command = {
  summary: "Make a snapshot to write into",
  usage: "[OPTIONS] KEY [PARENT]",
  description:
    "The parent is a committed snapshot, or an image. Prints the commands that mount it; what is written there stays until lighter snapshot rm.",
  options: newSnapshotOptions,
  examples: [
    ["lighter snapshot prepare work alpine", "on top of an image"],
    ["lighter snapshot prepare work && lighter snapshot mounts work /mnt | sudo sh", "an empty one, mounted"],
  ],
  words: [1, 2],
  completes: "snapshot",
  json: true,
  run: (context) => makeSnapshot(context, "prepare"),
};
