import { dateOf } from "../../client/containers/tasks.ts";
import { parseObject } from "../../client/images/documents.ts";
import { readBlob, resolveImage } from "../../client/images/image-config.ts";
import { findImage } from "../../client/images/names.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";
import { printJson } from "../json.ts";

export const command: Command = {
  summary: "Show all that is known of an image",
  usage: "IMAGE...",
  options: [],
  examples: [["lighter image inspect alpine", "its config and layers, as JSON"]],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "image",
  json: true,
  run: async (context) => {
    const { client } = context;
    const found: object[] = [];
    const code = await forEach(context, context.args.positional, "image inspect", async (word) => {
      const image = await findImage(client, word);
      const resolved = await resolveImage(client, image);
      found.push({
        name: image.name,
        target: resolved.target,
        manifest: resolved.manifest,
        labels: image.labels,
        createdAt: dateOf(image.createdAt),
        updatedAt: dateOf(image.updatedAt),
        layers: resolved.layers,
        config: parseObject(await readBlob(client, resolved.configDescriptor), "config"),
      });
    });
    if (found.length > 0) printJson(context.output, found);
    return code;
  },
};
