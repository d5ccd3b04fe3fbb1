import type { Command } from "../command.ts";
import { forEach } from "../each.ts";

export const command: Command = {
  summary: "Remove leases",
  usage: "[OPTIONS] LEASE...",
  description: "What nothing else keeps goes with the next garbage collection.",
  options: [{ long: "sync", help: "Wait until the room is given back" }],
  examples: [["lighter lease rm --sync build", "with what only it kept"]],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "lease",
  run: (context) =>
    forEach(context, context.args.positional, "lease rm", async (id) => {
      await context.client.leases.delete({ id, sync: context.args.flag("sync") });
      context.output.line(id);
    }),
};
