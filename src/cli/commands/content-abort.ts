import type { Command } from "../command.ts";
import { forEach } from "../each.ts";

export const command: Command = {
  summary: "Give up unfinished blobs",
  usage: "REF...",
  options: [],
  examples: [["lighter content abort $(lighter content active -q)", "all of them; a pull then starts anew"]],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "ingest",
  run: (context) =>
    forEach(context, context.args.positional, "content abort", async (ref) => {
      await context.client.content.abort({ ref });
      context.output.line(ref);
    }),
};
