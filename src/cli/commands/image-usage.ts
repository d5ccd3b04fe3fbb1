import { findImage } from "../../client/images/names.ts";
import { readStore } from "../../client/system/read-store.ts";
import { type StoreGraph, type StoreNode, sizeOfNodes } from "../../client/system/store-graph.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { familiarName } from "../object-names.ts";
import { type Column, printTable } from "../table.ts";
import { formatBytes, plural } from "../units.ts";

interface UsageRow {
  readonly name: string;
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  readonly uniqueBytes: number;
  readonly layers: number;
}

export const command: Command = {
  summary: "Show what images take, packed and unpacked",
  usage: "[OPTIONS] [IMAGE...]",
  description:
    "UNIQUE is what removing that one image gives back: layers that others share, or that a container stands on, stay.",
  options: [],
  examples: [
    ["lighter image usage", "all images, the largest first"],
    ["lighter image usage alpine", "one of them"],
  ],
  words: [0, Number.MAX_SAFE_INTEGER],
  completes: "image",
  json: true,
  run: async ({ client, args, json, output }) => {
    const names = await Promise.all(args.positional.map(async (word) => (await findImage(client, word)).name));
    const graph = await readStore(client, { measure: true });
    const images = graph.ofKind("image").filter(({ key }) => names.length === 0 || names.includes(key));
    const rows = images
      .map((image) => rowOf(graph, image))
      .toSorted((a, b) => b.packedBytes + b.unpackedBytes - a.packedBytes - a.unpackedBytes);
    if (json) {
      printJson(output, rows);
      return 0;
    }
    printTable(output, columns, rows);
    if (rows.length > 1) output.note(totalText(graph, images));
    return 0;
  },
};

function rowOf(graph: StoreGraph, image: StoreNode): UsageRow {
  const held = nodesOf(graph, [image]);
  const snapshots = held.filter(({ kind }) => kind === "snapshot");
  return {
    name: image.key,
    packedBytes: sizeOfNodes(held.filter(({ kind }) => kind === "content")),
    unpackedBytes: sizeOfNodes(snapshots),
    uniqueBytes: sizeOfNodes(graph.freedBy([image])),
    layers: snapshots.length,
  };
}

function nodesOf(graph: StoreGraph, from: readonly StoreNode[]): StoreNode[] {
  return [...graph.closure(from)].flatMap((name) => graph.nodes.get(name) ?? []);
}

function totalText(graph: StoreGraph, images: readonly StoreNode[]): string {
  const sizeBytes = graph.sizeOf(graph.closure(images));
  const apart = images.reduce((sum, image) => sum + graph.sizeOf(graph.closure([image])), 0);
  const saved = apart - sizeBytes;
  const shared = saved > 0 ? `; sharing saves ${formatBytes(saved)}` : "";
  return `${plural(images.length, "image")}, ${formatBytes(sizeBytes)} on disk${shared}`;
}

const columns: readonly Column<UsageRow>[] = [
  { title: "NAME", value: ({ name }) => familiarName(name), shrink: true },
  { title: "PACKED", value: ({ packedBytes }) => formatBytes(packedBytes), align: "right" },
  { title: "UNPACKED", value: ({ unpackedBytes }) => formatBytes(unpackedBytes), align: "right" },
  { title: "UNIQUE", value: ({ uniqueBytes }) => formatBytes(uniqueBytes), align: "right" },
  {
    title: "LAYERS",
    value: ({ layers }) => (layers === 0 ? "not unpacked" : String(layers)),
    align: "right",
    spare: 1,
  },
];
