import { findContainer } from "../../client/containers/find.ts";
import type { Command } from "../command.ts";
import { forAll } from "../each.ts";
import { parseWhole } from "../units.ts";
import { startDetached } from "./start.ts";
import { command as stop, stopContainer } from "./stop.ts";

export const command: Command = {
  summary: "Stop containers and start them again",
  usage: "[OPTIONS] CONTAINER...",
  options: stop.options,
  examples: [
    ["lighter restart web", "give it 10 seconds to end, then run it again in the background"],
    ["lighter restart -t 0 web", "at once"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) => {
    const { args, client, output } = context;
    const graceMs = parseWhole(args.text("time") ?? "10", "--time") * 1000;
    return forAll(context, args.positional, "restart", async (word) => {
      const container = await findContainer(client, word);
      await stopContainer(client, container, graceMs, args.text("signal"));
      await startDetached(context, container);
      output.line(word);
    });
  },
};
