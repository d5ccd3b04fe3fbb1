import type { Command } from "../command.ts";
import { completionScript, shells } from "../completion-scripts.ts";
import { printable } from "../table.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Print a completion script for bash, zsh or fish",
  usage: "bash|zsh|fish",
  options: [
    { long: "complete", help: "Answer candidates for the words after --", hidden: true },
    { long: "notes", help: "And what they mean, after a tab", hidden: true },
  ],
  examples: [
    ["source <(lighter completion bash)", "bash, in this shell only"],
    ["lighter completion bash > /etc/bash_completion.d/lighter", "bash, for all users"],
    ['lighter completion zsh > "${fpath[1]}/_lighter"', "zsh"],
    ["lighter completion fish > ~/.config/fish/completions/lighter.fish", "fish"],
  ],
  stopAtWord: false,
  words: [0, Number.MAX_SAFE_INTEGER],
  completes: "shell",
  run: async (context) => {
    const { args, output } = context;
    if (args.flag("complete")) {
      const { candidates } = await import("../candidates.ts");
      const notes = args.flag("notes");
      for (const { word, note } of await candidates(context, args.positional))
        output.line(printable(notes && note !== "" ? `${word}\t${note}` : word, "\t"));
      return 0;
    }
    const script = completionScript(args.positional[0] ?? "");
    if (script === undefined) throw new UsageError(`completion takes ${shells.join(", ")}`);
    output.write(script);
    return 0;
  },
};
