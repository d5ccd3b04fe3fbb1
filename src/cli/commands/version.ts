import { version as ownVersion } from "../../../package.json";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";

export const command: Command = {
  summary: "Show the versions of lighter and the daemon",
  usage: "",
  options: [{ long: "client", help: "Only this command's own" }],
  examples: [
    ["lighter version", "both versions"],
    ["lighter -a /run/containerd/containerd.sock version", "of another daemon"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { args, address, json, output } = context;
    if (args.flag("client")) {
      if (json) printJson(output, { client: { version: ownVersion } });
      else output.line(`lighter  ${ownVersion}`);
      return 0;
    }
    if (!json) output.line(`lighter  ${ownVersion}`);
    const { version, revision } = await context.client.version.version({});
    if (json) printJson(output, { client: { version: ownVersion }, server: { address, version, revision } });
    else output.line(`daemon   ${version}${revision === "" ? "" : ` (${revision})`} at ${address}`);
    return 0;
  },
};
