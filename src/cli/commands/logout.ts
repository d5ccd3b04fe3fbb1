import { eraseWithHelper } from "../../client/registries/credential-helper.ts";
import { serverName } from "../../client/registries/credentials.ts";
import { helperFor, readDockerConfig, writeAuth } from "../../client/registries/docker-config.ts";
import type { Command } from "../command.ts";
import { registryOf } from "./login.ts";

export const command: Command = {
  summary: "Forget a registry's name and password",
  usage: "[REGISTRY]",
  description:
    "Takes them out of docker's config.json and from its credential helper. Without REGISTRY it is Docker Hub.",
  options: [],
  examples: [["lighter logout ghcr.io", "nobody is logged in there any more"]],
  words: [0, 1],
  completes: "none",
  run: async ({ args, env, output }) => {
    const registry = registryOf(args.positional[0] ?? "docker.io");
    const config = await readDockerConfig(env);
    const server = serverName(registry);
    const helper = helperFor(config, server);
    if (helper !== undefined) await eraseWithHelper(helper, server, env);
    const known = config.auths.has(server);
    if (known) await writeAuth(config, server, undefined);
    output.line(helper === undefined && !known ? `nobody was logged in to ${registry}` : `logged out of ${registry}`);
    return 0;
  },
};
