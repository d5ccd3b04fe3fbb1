import { findContainer } from "../../client/containers/find.ts";
import { dateOf } from "../../client/containers/tasks.ts";
import type { Checkpoint } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, formatBytes } from "../units.ts";

export const command: Command = {
  summary: "List checkpoints",
  usage: "[CONTAINER]",
  options: [],
  examples: [["lighter checkpoint ls db", "what db can be started from"]],
  words: [0, 1],
  completes: "container",
  json: true,
  run: async ({ client, args, json, output }) => {
    const word = args.positional[0];
    const containerId = word === undefined ? "" : (await findContainer(client, word)).id;
    const { checkpoints } = await client.checkpoints.list({ containerId });
    if (json) printJson(output, checkpoints);
    else printTable(output, columns(new Date()), checkpoints);
    return 0;
  },
};

function columns(now: Date): Column<Checkpoint>[] {
  return [
    { title: "CONTAINER ID", value: ({ containerId }) => containerId },
    { title: "CHECKPOINT", value: ({ name }) => name },
    { title: "CREATED", value: ({ createdAt }) => formatAgo(dateOf(createdAt), now) },
    { title: "SIZE", value: ({ sizeBytes }) => formatBytes(Number(sizeBytes)), align: "right" },
    { title: "MADE", value: madeWith },
  ];
}

function madeWith(checkpoint: Checkpoint): string {
  const words = [
    checkpoint.exit ? "stopped" : "left running",
    ...(checkpoint.terminal ? ["terminal"] : []),
    ...(checkpoint.openTcp ? ["tcp"] : []),
    ...(checkpoint.externalUnixSockets ? ["unix"] : []),
    ...(checkpoint.fileLocks ? ["file locks"] : []),
    ...checkpoint.emptyNamespaces.map((name) => `empty ${name}`),
  ];
  return words.join(", ");
}
