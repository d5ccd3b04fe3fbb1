import { findImage, nameCandidates } from "../../client/images/names.ts";
import { pushImage } from "../../client/transfers/transfer.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { givenAccess, platformsFrom, registryAccess, registryError, registryOptions } from "../registry-options.ts";
import { transferDisplay } from "../transfer-display.ts";
import { formatBytes } from "../units.ts";

export const command: Command = {
  summary: "Push an image to a registry",
  usage: "[OPTIONS] IMAGE [REFERENCE]",
  description:
    "Parts that the registry has are not sent again; those that came from another of its repositories are mounted from there.",
  options: [
    { long: "platform", value: "OS/ARCH", many: true, help: "Only what is for these machines; may be repeated" },
    { long: "quiet", short: "q", help: "Only the reference and digest at the end" },
    ...registryOptions,
  ],
  examples: [
    ["lighter push ghcr.io/someone/app:1", "under its own name"],
    ["lighter push app:1 10.0.0.5:5000/app:1", "under another"],
  ],
  words: [1, 2],
  completes: "image",
  json: true,
  run: async (context) => {
    const { args, client, json, output } = context;
    const [given = "", target] = args.positional;
    const image = await findImage(client, given);
    const reference = target === undefined ? image.name : (nameCandidates(target).at(-1) ?? target);
    const { sentBytes, seconds } = await push(context, image.name, reference);
    const digest = image.target?.digest ?? "";
    if (json) printJson(output, { name: image.name, reference, digest, sentBytes, seconds });
    else output.line(`${reference}  ${digest}`);
    return 0;
  },
};

async function push(
  context: CommandContext,
  image: string,
  reference: string,
): Promise<{ sentBytes: number; seconds: number }> {
  const { args, client, json, output } = context;
  const quiet = args.flag("quiet");
  const access = await registryAccess(context, reference, givenAccess(args));
  const platforms = args.has("platform") ? platformsFrom(context) : [];
  if (!quiet) output.note(`pushing ${image === reference ? image : `${image} to ${reference}`}`);
  const startedAt = performance.now();
  let sentBytes = 0;
  {
    using display = transferDisplay(output, quiet);
    try {
      await pushImage(client, access, { image, platforms, onStep: (step) => display.step(step) });
    } catch (error) {
      throw registryError(error, "push", reference);
    }
    sentBytes = display.movedBytes;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  if (!quiet && !json) output.note(`pushed in ${seconds.toFixed(1)} s: ${formatBytes(sentBytes)}`);
  return { sentBytes, seconds: Math.round(seconds * 1000) / 1000 };
}
