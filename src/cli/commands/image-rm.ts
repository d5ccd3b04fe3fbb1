import { findImage } from "../../client/images/names.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";

export const command: Command = {
  summary: "Remove images",
  usage: "[OPTIONS] IMAGE...",
  description:
    "Removes the name; the content goes when nothing else refers to it. Containers made from it keep what they need.",
  options: [{ long: "sync", help: "Wait until the room is given back" }],
  examples: [
    ["lighter image rm mybox:old", "remove one"],
    ["lighter image rm $(lighter image ls -q)", "remove all"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "image",
  run: (context) =>
    forEach(context, context.args.positional, "image rm", async (word) => {
      const { name } = await findImage(context.client, word);
      await context.client.images.delete({ name, sync: context.args.flag("sync") });
      context.output.line(name);
    }),
};
