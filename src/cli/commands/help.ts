import type { Command } from "../command.ts";
import { commands, groupNames, otherWords } from "../commands.ts";
import { printHelp } from "../help.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Show help for a command",
  usage: "[COMMAND...]",
  options: [],
  examples: [
    ["lighter help", "all commands"],
    ["lighter help image import", "one of them"],
  ],
  words: [0, 2],
  completes: "command",
  run: async ({ args, output }) => {
    const name = args.positional.map((word) => otherWords[word] ?? word).join(" ");
    if (name !== "" && !Object.hasOwn(commands, name) && !groupNames.includes(name)) {
      throw new UsageError(`unknown command ${JSON.stringify(name)}`, "lighter --help lists the commands");
    }
    await printHelp(name, output);
    return 0;
  },
};
