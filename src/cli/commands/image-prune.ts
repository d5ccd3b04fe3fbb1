import { readStore } from "../../client/system/read-store.ts";
import { type StoreNode, sizeOfNodes } from "../../client/system/store-graph.ts";
import type { Command, CommandContext } from "../command.ts";
import { confirmed } from "../confirm.ts";
import { printJson } from "../json.ts";
import { familiarName } from "../object-names.ts";
import { prunableImages, removeRoots, usedImages } from "../prune-images.ts";
import { printable } from "../table.ts";
import { formatBytes, parseDuration, plural } from "../units.ts";

export const command: Command = {
  summary: "Remove unused images",
  usage: "[OPTIONS]",
  description:
    "Those without a tag that no container is made from; with --all, those with one too. Says what was freed: layers that others share stay.",
  options: [
    { long: "all", short: "a", help: "All that no container is made from" },
    { long: "until", value: "DURATION", help: "Only those that have been here for longer, e.g. 24h" },
    { long: "dry-run", help: "Only show what would go" },
    { long: "force", short: "f", help: "Don't ask" },
  ],
  examples: [
    ["lighter image prune -a --dry-run", "what would go, and how much that is"],
    ["lighter image prune -a -f --until 7d", "all that nobody has used for a week"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { client, args, json, output } = context;
    const until = args.text("until");
    const graph = await readStore(client, { measure: true });
    const images = prunableImages(graph, {
      all: args.flag("all"),
      until: until === undefined ? undefined : new Date(Date.now() - parseDuration(until, "--until")),
      used: await usedImages(client),
    });
    const planned = sizeOfNodes(graph.freedBy(images));
    if (args.flag("dry-run")) return showPlan(context, images, planned);
    if (images.length === 0) return showNothing(context);
    const question = [
      `${plural(images.length, "image")} will be removed, which frees ${formatBytes(planned)}:`,
      ...images.map(({ key }) => `  ${printable(familiarName(key))}`),
    ];
    if (!confirmed(context, question, "lighter image prune")) return 1;
    const removed: string[] = [];
    const { freedBytes } = await removeRoots(client, graph, images, ({ key }) => {
      removed.push(key);
      if (!json) output.line(key);
    });
    if (json) printJson(output, { removed, freedBytes });
    else output.note(`freed ${formatBytes(freedBytes)}`);
    return 0;
  },
};

function showPlan({ json, output }: CommandContext, images: readonly StoreNode[], freedBytes: number): number {
  const names = images.map(({ key }) => key);
  if (json) {
    printJson(output, { wouldRemove: names, freedBytes });
    return 0;
  }
  for (const name of names) output.line(name);
  output.note(`would remove ${plural(images.length, "image")} and free ${formatBytes(freedBytes)}`);
  return 0;
}

function showNothing({ args, json, output }: CommandContext): number {
  if (json) printJson(output, { removed: [], freedBytes: 0 });
  else output.note(`nothing to remove${args.flag("all") ? "" : "; --all takes unused images with a tag too"}`);
  return 0;
}
