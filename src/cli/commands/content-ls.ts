import { readStore } from "../../client/system/read-store.ts";
import type { StoreNode } from "../../client/system/store-graph.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { blobKinds, holdersOf, holdersText, shortDigest } from "../object-names.ts";
import { styleOf } from "../style.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, formatBytes } from "../units.ts";

interface BlobRow {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly kind: string;
  readonly usedBy: readonly StoreNode[];
  readonly createdAt: Date;
  readonly labels: Readonly<Record<string, string>>;
}

export const command: Command = {
  summary: "List blobs, what they are and who needs them",
  usage: "[OPTIONS] [DIGEST-PART]",
  description:
    "Manifests, configs and layers, packed as they came from a registry or an archive, the largest first. What nothing uses goes with the next garbage collection.",
  options: [
    { long: "quiet", short: "q", help: "Only the digests" },
    { long: "digests", aliases: ["no-trunc"], help: "Whole digests" },
    { long: "unused", help: "Only what nothing uses" },
  ],
  examples: [
    ["lighter content ls", "all blobs of this namespace"],
    ["lighter content ls --unused -q", "digests that the next collection takes away"],
  ],
  words: [0, 1],
  json: true,
  run: async ({ client, args, json, output }) => {
    const graph = await readStore(client, { measure: false });
    const part = args.positional[0] ?? "";
    const [kinds, holders] = [blobKinds(graph), graph.holders()];
    const rows = graph
      .ofKind("content")
      .map((node) => ({
        digest: node.key,
        sizeBytes: node.sizeBytes,
        kind: kinds.get(node.key) ?? "blob",
        usedBy: holdersOf(holders, node),
        createdAt: node.createdAt,
        labels: node.labels,
      }))
      .filter(({ digest, usedBy }) => digest.includes(part) && (!args.flag("unused") || usedBy.length === 0))
      .toSorted((a, b) => b.sizeBytes - a.sizeBytes);
    if (args.flag("quiet")) for (const { digest } of rows) output.line(digest);
    else if (json) printJson(output, rows.map(plainRow));
    else printTable(output, columns(args.flag("digests"), new Date(), output.color), rows);
    return 0;
  },
};

function plainRow(row: BlobRow): object {
  return { ...row, usedBy: row.usedBy.map(({ kind, key }) => ({ kind, key })) };
}

function columns(wholeDigests: boolean, now: Date, color: boolean): Column<BlobRow>[] {
  const style = styleOf(color);
  return [
    { title: "DIGEST", value: ({ digest }) => (wholeDigests ? digest : shortDigest(digest)) },
    { title: "KIND", value: ({ kind }) => kind },
    { title: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
    { title: "CREATED", value: ({ createdAt }) => formatAgo(createdAt, now), spare: 1 },
    {
      title: "USED BY",
      value: ({ usedBy }) => holdersText(usedBy),
      shrink: true,
      paint: (text, { usedBy }) => (usedBy.length === 0 ? style.yellow(text) : text),
    },
  ];
}
