import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { type PulledImage, pullShown } from "../pull-image.ts";
import { givenAccess, platformsFrom, registryOptions } from "../registry-options.ts";

export const command: Command = {
  summary: "Pull images from a registry",
  usage: "[OPTIONS] IMAGE...",
  description:
    "The daemon fetches an image's parts, several at once, and unpacks them while they arrive. What a broken or stopped pull has fetched is not fetched again.",
  options: [
    { long: "platform", value: "OS/ARCH", many: true, help: "For other machines than this one; may be repeated" },
    { long: "all-platforms", help: "Whatever there is" },
    { long: "no-unpack", help: "Don't unpack it now; the first run does" },
    { long: "snapshotter", value: "NAME", help: "Where it is unpacked" },
    { long: "quiet", short: "q", help: "Only the name and digest at the end" },
    ...registryOptions,
  ],
  examples: [
    ["lighter pull alpine", "docker.io/library/alpine:latest"],
    ["lighter pull --platform linux/arm64 ghcr.io/someone/app:1", "for another machine"],
    ["lighter pull --plain-http 10.0.0.5:5000/app:1", "from a registry without TLS"],
  ],
  words: [1, Number.POSITIVE_INFINITY],
  completes: "image",
  json: true,
  run: async (context) => {
    const { args, json, output } = context;
    const all: PulledImage[] = [];
    for (const given of args.positional) {
      const pulled = await pull(context, given);
      all.push(pulled);
      if (!json) output.line(`${pulled.name}  ${pulled.digest}`);
    }
    if (json) printJson(output, all);
    return 0;
  },
};

function pull(context: CommandContext, given: string): Promise<PulledImage> {
  const { args } = context;
  return pullShown(context, given, {
    platforms: platformsFrom(context),
    unpacks: !args.flag("no-unpack") && !args.flag("all-platforms"),
    snapshotter: args.text("snapshotter"),
    quiet: args.flag("quiet"),
    access: givenAccess(args),
  });
}
