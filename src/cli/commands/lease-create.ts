import { randomHex } from "../../client/names.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { parseLabels } from "../label-words.ts";
import { parseDuration } from "../units.ts";

export const command: Command = {
  summary: "Create a lease",
  usage: "[OPTIONS] [ID]",
  description: "Prints its id. Without --expires it lives until lighter lease rm.",
  options: [
    { long: "expires", short: "x", value: "DURATION", help: "End it after that time, e.g. 24h" },
    { long: "flat", help: "Keep only what is added, not what that refers to" },
    { long: "label", short: "l", value: "KEY=VALUE", many: true, help: "A label; may be repeated" },
  ],
  examples: [
    ["lighter lease create -x 24h build", "one that ends by itself"],
    ["lighter content ingest --lease $(lighter lease create -x 1h) FILE", "for one hour's work"],
  ],
  words: [0, 1],
  json: true,
  run: async ({ client, args, json, output }) => {
    const labels = parseLabels(args.list("label"));
    const expires = args.text("expires");
    if (expires !== undefined) {
      const at = Date.now() + parseDuration(expires, "--expires");
      labels["containerd.io/gc.expire"] = new Date(at).toISOString();
    }
    if (args.flag("flat")) labels["containerd.io/gc.flat"] = new Date().toISOString();
    const { lease } = await client.leases.create({ id: args.positional[0] ?? randomHex(16), labels });
    if (json) printJson(output, { id: lease?.id, labels: lease?.labels });
    else output.line(lease?.id ?? "");
    return 0;
  },
};
