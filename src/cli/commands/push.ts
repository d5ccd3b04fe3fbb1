import { type NamedParts, withNamedParts } from "../../client/images/chosen-parts.ts";
import type { Descriptor } from "../../client/images/documents.ts";
import { fromWire } from "../../client/images/image-config.ts";
import { findImage, nameCandidates } from "../../client/images/names.ts";
import { pushImage } from "../../client/transfers/transfer.ts";
import { invalidArgument, isFault } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { familiarName } from "../object-names.ts";
import { givenAccess, registryAccess, registryError, registryOptions } from "../registry-options.ts";
import { transferDisplay } from "../transfer-display.ts";
import { formatBytes } from "../units.ts";
import { CommandError, UsageError } from "../usage-error.ts";
import { wantedPlatforms } from "../wanted-platforms.ts";

export const command: Command = {
  summary: "Push an image to a registry",
  usage: "[OPTIONS] IMAGE [REFERENCE]",
  description:
    "What is here of the image is pushed: all of it under its own digest, else a list of what is here. Parts that the registry has are not sent again; those that came from another of its repositories are mounted from there.",
  options: [
    { long: "platform", value: "OS/ARCH", many: true, help: "Only what is for these machines; may be repeated" },
    { long: "all-platforms", help: "All that the image is made for; fails where some of it is not here" },
    { long: "quiet", short: "q", help: "Only the reference and digest at the end" },
    ...registryOptions,
  ],
  examples: [
    ["lighter push ghcr.io/someone/app:1", "under its own name"],
    ["lighter push app:1 10.0.0.5:5000/app:1", "under another"],
    ["lighter push --platform linux/arm64 app:1 ghcr.io/someone/app:1-arm", "what is for one kind of machine"],
  ],
  words: [1, 2],
  completes: "image",
  json: true,
  run: async (context) => {
    const { args, client, json, output } = context;
    const [given = "", other] = args.positional;
    const image = await findImage(client, given);
    const reference = other === undefined ? image.name : (nameCandidates(other).at(-1) ?? other);
    if (image.target === undefined) throw invalidArgument(`image ${image.name} has no target`);
    const target = fromWire(image.target);
    const result = await withParts(context, { name: image.name, target }, (parts) =>
      push(context, image.name, parts, reference),
    );
    const { digest, sentBytes, seconds } = result;
    if (json) printJson(output, { name: image.name, reference, digest, sentBytes, seconds });
    else output.line(`${reference}  ${digest}`);
    return 0;
  },
};

/** Errors: CommandError when parts that are meant are not here. */
async function withParts<T>(
  context: CommandContext,
  image: { readonly name: string; readonly target: Descriptor },
  action: (parts: NamedParts) => Promise<T>,
): Promise<T> {
  const { args, client } = context;
  const all = args.flag("all-platforms");
  const isChosen = args.has("platform");
  if (all && isChosen) throw new UsageError("--platform and --all-platforms exclude each other");
  const parts = all ? "all" : isChosen ? wantedPlatforms(context) : "here";
  let begun = false;
  try {
    return await withNamedParts(client, image, parts, (named) => {
      begun = true;
      return action(named);
    });
  } catch (error) {
    if (begun || !isFault(error, "notFound")) throw error;
    const options = all ? "--all-platforms" : args.list("platform").map((platform) => `--platform ${platform}`);
    throw new CommandError(`push ${familiarName(image.name)}: ${error.message}`, {
      hint: isChosen || all ? `lighter pull ${[options].flat().join(" ")} ${familiarName(image.name)}` : undefined,
      cause: error,
    });
  }
}

async function push(
  context: CommandContext,
  image: string,
  parts: NamedParts,
  reference: string,
): Promise<{ digest: string; sentBytes: number; seconds: number }> {
  const { args, client, json, output } = context;
  const quiet = args.flag("quiet");
  const access = await registryAccess(context, reference, givenAccess(args));
  if (!quiet) {
    const what = parts.reduced && !args.has("platform") ? `what is here of ${image}` : image;
    output.note(`pushing ${image === reference ? what : `${what} to ${reference}`}`);
  }
  const startedAt = performance.now();
  let sentBytes = 0;
  {
    using display = transferDisplay(output, quiet);
    try {
      await pushImage(client, access, { image: parts.name, onStep: (step) => display.step(step) });
    } catch (error) {
      throw registryError(error, "push", reference);
    }
    sentBytes = display.movedBytes;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  if (!quiet && !json) output.note(`pushed in ${seconds.toFixed(1)} s: ${formatBytes(sentBytes)}`);
  return { digest: parts.digest, sentBytes, seconds: Math.round(seconds * 1000) / 1000 };
}
