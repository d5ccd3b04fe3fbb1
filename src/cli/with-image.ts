import { isFault, messageOf, quote } from "../lib/faults.ts";
import { hostPlatform } from "../lib/platforms.ts";
import type { OptionSpec } from "./args.ts";
import type { CommandContext } from "./command.ts";
import { CommandError } from "./usage-error.ts";

/** Options of `run` about where its image comes from, in docker's words. */
export const imageOptions: readonly OptionSpec[] = [
  {
    long: "pull",
    value: "missing|always|never",
    choices: ["missing", "always", "never"],
    help: "When to pull the image: where it is missing (the default), always, or never",
  },
  { long: "quiet", short: "q", help: "Don't show how the pull goes" },
];

/**
 * Does something with an image, and pulls that first where it is missing.
 * Errors: CommandError when it is neither here nor to be had.
 */
export async function withImage(
  context: CommandContext,
  image: string | undefined,
  action: () => Promise<number>,
): Promise<number> {
  const policy = context.args.text("pull") ?? "missing";
  if (image === undefined) return await action();
  if (policy === "always") await pull(context, image);
  try {
    return await action();
  } catch (error) {
    // Before anything was made, and with signals as they were: ctrl-c ends a pull.
    if (policy !== "missing" || !isFault(error, "notFound") || !messageOf(error).startsWith("image ")) throw error;
    await pull(context, image);
  }
  return await action();
}

async function pull(context: CommandContext, image: string): Promise<void> {
  const { args } = context;
  const { pullShown } = await import("./pull-image.ts");
  try {
    await pullShown(context, image, {
      platforms: [hostPlatform],
      unpacks: true,
      snapshotter: args.text("snapshotter"),
      quiet: args.flag("quiet"),
      access: { user: undefined, hostsFolder: undefined, plainHttp: false },
    });
  } catch (error) {
    const hint = error instanceof CommandError ? error.hint : undefined;
    throw new CommandError(`image ${quote(image)} is not here and could not be had: ${messageOf(error)}`, {
      hint: hint ?? "lighter image ls shows what is here; lighter image import FILE brings one from an archive",
      exitCode: 125,
      cause: error,
    });
  }
}
