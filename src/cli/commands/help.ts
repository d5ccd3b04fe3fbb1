import type { Command } from "../command.ts";
import { commands, groupNames, otherWords } from "../commands.ts";
import { printHelp } from "../help.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Show help for a command",
  usage: "[COMMAND...]",
  options: [{ long: "man", value: "PAGE", help: "Print a manual page: lighter.1, lighterd.8", hidden: true }],
  examples: [
    ["lighter help", "all commands"],
    ["lighter help image import", "one of them"],
  ],
  words: [0, 2],
  completes: "command",
  run: async ({ args, output }) => {
    const page = args.text("man");
    if (page !== undefined) {
      const { manPages } = await import("../man-pages.ts");
      const text = (await manPages()).get(page);
      if (text === undefined) throw new UsageError(`there is no manual page ${JSON.stringify(page)}`);
      output.write(text);
      return 0;
    }
    const name = args.positional.map((word) => otherWords[word] ?? word).join(" ");
    if (name !== "" && !Object.hasOwn(commands, name) && !groupNames.includes(name)) {
      throw new UsageError(`unknown command ${JSON.stringify(name)}`, "lighter --help lists the commands");
    }
    await printHelp(name, output);
    return 0;
  },
};
