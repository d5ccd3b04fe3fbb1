import { resolve } from "node:path";
import { givenCredentials, keptCredentials } from "../client/registries/credentials.ts";
import type { RegistryAccess } from "../client/transfers/transfer.ts";
import { isFault, messageOf } from "../lib/faults.ts";
import { hostPlatform, type Platform, parsePlatform } from "../lib/platforms.ts";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import type { CommandContext } from "./command.ts";
import { CommandError, UsageError } from "./usage-error.ts";

/** The options of every command that speaks to registries. */
export const registryOptions: readonly OptionSpec[] = [
  { long: "user", short: "u", value: "NAME[:PASSWORD]", help: "Who one is there, in place of what login has kept" },
  { long: "plain-http", help: "Speak plain http with a registry that nothing is configured for" },
  { long: "hosts-dir", value: "DIR", help: "Folder of hosts.toml files, in place of the daemon's own" },
];

/** What a command line says of the way to a registry. */
export interface GivenAccess {
  readonly user: string | undefined;
  readonly hostsFolder: string | undefined;
  readonly plainHttp: boolean;
}

export function givenAccess(args: ParsedArgs): GivenAccess {
  return { user: args.text("user"), hostsFolder: args.text("hosts-dir"), plainHttp: args.flag("plain-http") };
}

/** How the daemon reaches the registry of a reference. */
export async function registryAccess(
  context: Pick<CommandContext, "env" | "output">,
  reference: string,
  { user, hostsFolder: folder, plainHttp }: GivenAccess,
): Promise<RegistryAccess> {
  const { env, output } = context;
  const registry = reference.slice(0, reference.indexOf("/"));
  const credentials =
    user === undefined
      ? keptCredentials(env, (text) => output.note(text))
      : givenCredentials(registry, await nameAndSecret(user, registry));
  return {
    reference,
    credentials,
    hostsFolder: folder === undefined ? undefined : resolve(folder),
    defaultScheme: plainHttp ? "http" : undefined,
  };
}

/** Splits NAME:PASSWORD; asks for the password where only a name is given. Errors: UsageError. */
export async function nameAndSecret(user: string, registry: string): Promise<{ username: string; secret: string }> {
  const colon = user.indexOf(":");
  if (colon === 0) throw new UsageError("option --user: the name is empty");
  if (colon > 0) return { username: user.slice(0, colon), secret: user.slice(colon + 1) };
  const { askSecret } = await import("./prompt.ts");
  return { username: user, secret: await askSecret(`Password of ${user} at ${registry}: `) };
}

/** Errors: UsageError. */
export function platformsFrom(context: CommandContext): readonly Platform[] {
  if (context.args.flag("all-platforms")) return [];
  const given = context.args.list("platform");
  if (given.length === 0) return [hostPlatform];
  return given.map((text) => {
    try {
      return parsePlatform(text);
    } catch (error) {
      throw new UsageError(`option --platform: ${messageOf(error)}`, "write it as linux/amd64 or linux/arm64/v8");
    }
  });
}

/** Says what to do about what a registry, or an old daemon, answers. */
export function registryError(error: unknown, what: string, reference: string): unknown {
  const text = messageOf(error);
  // A daemon that cannot be reached is told of elsewhere.
  const isRegistrys = isFault(error, "notFound") || /registry host|token server/.test(text);
  const hint = hintOf(error, reference);
  if (hint === undefined && !isRegistrys) return error;
  return new CommandError(
    `${what} ${reference}: ${text.replace(/^failed to resolve image: /, "").replace(`${reference}: `, "")}`,
    {
      hint,
      cause: error,
    },
  );
}

function hintOf(error: unknown, reference: string): string | undefined {
  if (isFault(error, "unauthenticated")) return `lighter login ${reference.slice(0, reference.indexOf("/"))}`;
  const isOld = isFault(error, "notImplemented") && /Transfer|unknown (?:service|method)/i.test(messageOf(error));
  return isOld ? "the daemon has no transfer service: it is older than containerd 1.7" : undefined;
}
