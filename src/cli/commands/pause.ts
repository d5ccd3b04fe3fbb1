import { findContainer } from "../../client/containers/find.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";

export const command: Command = {
  summary: "Freeze all processes of containers",
  usage: "CONTAINER...",
  options: [],
  examples: [
    ["lighter pause web", "stop it where it is"],
    ["lighter resume web", "let it go on"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) =>
    forEach(context, context.args.positional, "pause", async (word) => {
      const { id } = await findContainer(context.client, word);
      await context.client.tasks.pause({ containerId: id });
      context.output.line(word);
    }),
};
