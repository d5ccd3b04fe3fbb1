import { findBlob, labelBlob } from "../../client/content/blobs.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { parseLabels } from "../label-words.ts";
import { printable } from "../table.ts";

export const command: Command = {
  summary: "Show, set and take away a blob's labels",
  usage: "DIGEST [KEY=VALUE | KEY-]...",
  description:
    "Garbage collection reads labels: containerd.io/gc.root keeps a blob, containerd.io/gc.ref.content.* and .ref.snapshot.* say what it needs.",
  options: [],
  examples: [
    ["lighter content label 4f4fb700ef54", "its labels"],
    ["lighter content label 4f4fb700ef54 team=web containerd.io/gc.root-", "sets one, takes one away"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "content",
  json: true,
  run: async ({ client, args, json, output }) => {
    const [given = "", ...words] = args.positional;
    const found = await findBlob(client, given);
    const { labels } = words.length === 0 ? found : await labelBlob(client, found.digest, parseLabels(words));
    if (json) printJson(output, labels);
    else
      for (const [key, value] of Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))
        output.line(printable(`${key}=${value}`));
    return 0;
  },
};
