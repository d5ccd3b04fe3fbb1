import { findContainer } from "../../client/containers/find.ts";
import type { Command } from "../command.ts";
import { destroyContainer } from "../destroy-container.ts";
import { forAll } from "../each.ts";

export const command: Command = {
  summary: "Remove containers",
  usage: "[OPTIONS] CONTAINER...",
  options: [{ long: "force", short: "f", help: "Kill one that runs first" }],
  examples: [
    ["lighter rm web", "remove one that has ended"],
    ["lighter rm -f $(lighter ps -aq)", "remove all, whatever they do"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) =>
    forAll(context, context.args.positional, "rm", async (word) => {
      const container = await findContainer(context.client, word);
      await destroyContainer(context, container, context.args.flag("force"));
      context.output.line(word);
    }),
};
