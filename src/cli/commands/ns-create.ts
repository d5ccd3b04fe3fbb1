import { checkIdentifier } from "../../lib/identifiers.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  summary: "Create a namespace",
  usage: "[OPTIONS] NAME",
  options: [{ long: "label", short: "l", value: "KEY=VALUE", many: true, help: "Put a label on it" }],
  examples: [
    ["lighter ns create ci", "a place for another project's containers"],
    ["lighter -n ci ps", "what runs there"],
  ],
  words: [1, 1],
  run: async ({ client, args, output }) => {
    const name = checkIdentifier(args.positional[0] ?? "");
    const labels = Object.fromEntries(
      args.list("label").map((word) => {
        const at = word.indexOf("=");
        return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
      }),
    );
    await client.namespaces.create({ namespace: { name, labels } });
    output.line(name);
    return 0;
  },
};
