import { dateOf } from "../../client/containers/tasks.ts";
import { listIngests } from "../../client/content/blobs.ts";
import type { Status } from "../../gen/containerd/services/content/v1/content_pb.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { shortDigest } from "../object-names.ts";
import { bar } from "../progress.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, formatBytes } from "../units.ts";

export const command: Command = {
  summary: "List blobs that are being written, or were left unfinished",
  usage: "[OPTIONS]",
  description: "A pull that was broken off goes on from these; what nobody goes on with is taken away after a day.",
  options: [{ long: "quiet", short: "q", help: "Only the refs" }],
  examples: [
    ["lighter content active", "downloads under way"],
    ["lighter content abort $(lighter content active -q)", "give all of them up"],
  ],
  words: [0, 0],
  json: true,
  run: async ({ client, args, json, output }) => {
    const statuses = await listIngests(client);
    if (args.flag("quiet")) for (const { ref } of statuses) output.line(ref);
    else if (json) printJson(output, statuses.map(plainStatus));
    else printTable(output, columns(new Date()), statuses);
    return 0;
  },
};

function plainStatus({ ref, offset, total, expected, startedAt, updatedAt }: Status): object {
  return { ref, offset, total, expected, startedAt: dateOf(startedAt), updatedAt: dateOf(updatedAt) };
}

function columns(now: Date): Column<Status>[] {
  return [
    { title: "REF", value: ({ ref }) => ref.replace(/[0-9a-f]{64,}/, (hex) => hex.slice(0, 12)), shrink: true },
    {
      title: "WRITTEN",
      value: ({ offset, total }) =>
        total > 0n ? `${formatBytes(Number(offset))} of ${formatBytes(Number(total))}` : formatBytes(Number(offset)),
      align: "right",
    },
    {
      title: "",
      value: ({ offset, total }) => (total > 0n ? bar(Number(offset), Number(total), 12) : ""),
      spare: 2,
    },
    { title: "LAST WRITE", value: ({ updatedAt }) => formatAgo(dateOf(updatedAt), now) },
    { title: "DIGEST", value: ({ expected }) => (expected === "" ? "-" : shortDigest(expected)), spare: 1 },
  ];
}
