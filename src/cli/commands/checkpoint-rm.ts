import { findContainer } from "../../client/containers/find.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";

export const command: Command = {
  summary: "Remove checkpoints of a container",
  usage: "CONTAINER NAME...",
  options: [],
  examples: [["lighter checkpoint rm db before-upgrade", "it is no longer needed"]],
  words: [2, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: async (context) => {
    const [word = "", ...names] = context.args.positional;
    const { id } = await findContainer(context.client, word);
    return await forEach(context, names, "checkpoint rm", async (name) => {
      await context.client.checkpoints.delete({ containerId: id, name });
      context.output.line(name);
    });
  },
};
