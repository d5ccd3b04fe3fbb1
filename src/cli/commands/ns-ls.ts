import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { printTable } from "../table.ts";

export const command: Command = {
  summary: "List namespaces",
  usage: "",
  options: [{ long: "quiet", short: "q", help: "Only the names" }],
  examples: [["lighter ns ls", "who keeps things here"]],
  words: [0, 0],
  json: true,
  run: async ({ client, args, json, output }) => {
    const { namespaces } = await client.namespaces.list({});
    if (args.flag("quiet")) for (const { name } of namespaces) output.line(name);
    else if (json) printJson(output, namespaces);
    else {
      printTable(
        output,
        [
          { title: "NAME", value: ({ name }) => name },
          {
            title: "LABELS",
            value: ({ labels }) =>
              Object.entries(labels)
                .map(([key, value]) => `${key}=${value}`)
                .join(","),
            shrink: true,
          },
        ],
        namespaces,
      );
    }
    return 0;
  },
};
