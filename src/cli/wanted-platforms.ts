import { anyPlatformOf, onlyPlatform, type Platform } from "../lib/platforms.ts";
import type { OptionSpec } from "./args.ts";
import type { CommandContext } from "./command.ts";
import { platformsFrom } from "./registry-options.ts";

export const platformOptions: readonly OptionSpec[] = [
  { long: "platform", value: "OS/ARCH", many: true, help: "For other machines than this one; may be repeated" },
  { long: "all-platforms", help: "All that are here" },
];

/** Which parts of an image a command line means: this machine's where it says nothing. */
export function wantedPlatforms(context: CommandContext): (platform: Platform) => boolean {
  if (context.args.flag("all-platforms")) return () => true;
  const given = platformsFrom(context);
  const matchers = context.args.has("platform") ? [anyPlatformOf(given)] : given.map(onlyPlatform);
  return (platform) => matchers.some(({ matches }) => matches(platform));
}
