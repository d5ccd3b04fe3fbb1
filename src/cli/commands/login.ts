import { resolve } from "node:path";
import { storeWithHelper } from "../../client/registries/credential-helper.ts";
import { serverName } from "../../client/registries/credentials.ts";
import { helperFor, readDockerConfig, writeAuth } from "../../client/registries/docker-config.ts";
import { createCtx } from "../../lib/ctx.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { nameAndSecret } from "../registry-options.ts";
import { CommandError, UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Log in to a registry",
  usage: "[OPTIONS] [REGISTRY]",
  description:
    "Finds out whether the registry takes the name and password, and keeps them where docker keeps them: with its credential helper, or in its config.json. Without REGISTRY it is Docker Hub.",
  options: [
    { long: "user", short: "u", value: "NAME[:PASSWORD]", aliases: ["username"], help: "Who one is there" },
    { long: "password-stdin", help: "Read the password from standard input" },
    { long: "plain-http", help: "Speak plain http with a registry that nothing is configured for" },
    { long: "hosts-dir", value: "DIR", help: "Folder of hosts.toml files, for the authorities that are trusted" },
  ],
  examples: [
    ["lighter login ghcr.io", "ask for name and password"],
    ["lighter login -u someone --password-stdin ghcr.io < token", "in a script"],
  ],
  words: [0, 1],
  completes: "none",
  run: async (context) => {
    const { args, env, output } = context;
    const registry = registryOf(args.positional[0] ?? "docker.io");
    const credentials = await typed(context, registry);
    await check(context, registry, credentials);
    const config = await readDockerConfig(env);
    const server = serverName(registry);
    const helper = helperFor(config, server);
    if (helper === undefined) await writeAuth(config, server, credentials);
    else await storeWithHelper(helper, server, credentials, env);
    const where = helper === undefined ? `${config.path}, unencrypted` : `the credential helper ${helper}`;
    output.line(`logged in to ${registry} as ${credentials.username}; kept in ${where}`);
    return 0;
  },
};

/** Where people look for hosts.toml when they name no folder; the daemon may be set to another. */
const hostFolders = ["/etc/lighter/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"];

/** A registry's name as it stands before an image's. Errors: UsageError. */
export function registryOf(given: string): string {
  const host = given.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  if (host === "") throw new UsageError(`${JSON.stringify(given)} is not a registry`, "write it as host or host:port");
  return serverName(host) === serverName("docker.io") ? "docker.io" : host;
}

async function typed({ args }: CommandContext, registry: string): Promise<{ username: string; secret: string }> {
  const user = args.text("user");
  if (!args.flag("password-stdin")) {
    const { askLine } = await import("../prompt.ts");
    return await nameAndSecret(user ?? askLine(`Name at ${registry}: `), registry);
  }
  if (user === undefined) throw new UsageError("--password-stdin needs --user");
  const secret = (await Bun.stdin.text()).replace(/\r?\n$/, "");
  if (secret === "") throw new CommandError("standard input held no password");
  return { username: user, secret };
}

async function check(
  { args }: CommandContext,
  registry: string,
  credentials: { username: string; secret: string },
): Promise<void> {
  const { checkAccess } = await import("../../core/remotes/index.ts");
  const folder = args.text("hosts-dir");
  try {
    await checkAccess(createCtx(), registry, {
      hostFolders: folder === undefined ? hostFolders : [resolve(folder)],
      defaultScheme: args.flag("plain-http") ? "http" : "",
      credentials: () => Promise.resolve(credentials),
    });
  } catch (error) {
    const hint = isFault(error, "unauthenticated") ? "are the name and the password right?" : undefined;
    throw new CommandError(`login: ${messageOf(error)}`, { hint, cause: error });
  }
}
