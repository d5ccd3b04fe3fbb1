import { findContainer } from "../../client/containers/find.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";

export const command: Command = {
  summary: "Let paused containers go on",
  usage: "CONTAINER...",
  options: [],
  examples: [
    ["lighter resume web", "let one go on"],
    ["lighter resume $(lighter ps -q --filter status=paused)", "let all go on"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) =>
    forEach(context, context.args.positional, "resume", async (word) => {
      const { id } = await findContainer(context.client, word);
      await context.client.tasks.resume({ containerId: id });
      context.output.line(word);
    }),
};
