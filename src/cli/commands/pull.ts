import { namespaceDefaults } from "../../client/containers/create.ts";
import { findImage, nameCandidates } from "../../client/images/names.ts";
import { pullImage } from "../../client/transfers/transfer.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { platformsFrom, registryAccess, registryError, registryOptions } from "../registry-options.ts";
import { transferDisplay } from "../transfer-display.ts";
import { formatBytes } from "../units.ts";

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

interface PulledImage {
  readonly name: string;
  readonly digest: string;
  readonly fetchedBytes: number;
  readonly seconds: number;
}

async function pull(context: CommandContext, given: string): Promise<PulledImage> {
  const { args, client, json, output } = context;
  const quiet = args.flag("quiet");
  const reference = nameCandidates(given).at(-1) ?? given;
  const platforms = platformsFrom(context);
  const access = await registryAccess(context, reference);
  const unpacks = !args.flag("no-unpack") && !args.flag("all-platforms");
  const snapshotter = unpacks ? (args.text("snapshotter") ?? (await namespaceDefaults(client)).snapshotter) : undefined;
  if (!quiet) output.note(`pulling ${reference}`);
  const startedAt = performance.now();
  let fetchedBytes = 0;
  {
    using display = transferDisplay(output, quiet);
    try {
      await pullImage(client, access, { platforms, snapshotter, onStep: (step) => display.step(step) });
    } catch (error) {
      throw registryError(error, "pull", reference);
    }
    fetchedBytes = display.movedBytes;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  if (!quiet && !json) {
    const pace =
      fetchedBytes === 0
        ? "everything was there"
        : `${formatBytes(fetchedBytes)}, ${formatBytes(fetchedBytes / seconds)}/s`;
    output.note(`pulled in ${seconds.toFixed(1)} s: ${pace}`);
  }
  const image = await findImage(client, reference);
  return {
    name: image.name,
    digest: image.target?.digest ?? "",
    fetchedBytes,
    seconds: Math.round(seconds * 1000) / 1000,
  };
}
