import type { Command } from "../command.ts";
import { forEach } from "../each.ts";

export const command: Command = {
  summary: "Remove empty namespaces",
  usage: "NAME...",
  options: [],
  examples: [["lighter ns rm ci", "must have no containers, images or snapshots left"]],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "namespace",
  run: (context) =>
    forEach(context, context.args.positional, "ns rm", async (name) => {
      await context.client.namespaces.delete({ name });
      context.output.line(name);
    }),
};
