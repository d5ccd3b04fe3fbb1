import type { Command } from "../command.ts";
import { makeSnapshot, newSnapshotOptions } from "../make-snapshot.ts";

export const command: Command = {
  summary: "Make a snapshot to read",
  usage: "[OPTIONS] KEY PARENT",
  description: "The parent is a committed snapshot, or an image. Prints the commands that mount it.",
  options: newSnapshotOptions,
  examples: [["lighter snapshot view look alpine", "an image's files, not to be changed"]],
  words: [2, 2],
  completes: "snapshot",
  json: true,
  run: (context) => makeSnapshot(context, "view"),
};
