import { type ConvertOptions, convertImage } from "../../client/images/convert-image.ts";
import { fromWire } from "../../client/images/image-config.ts";
import { findImage, nameCandidates } from "../../client/images/names.ts";
import { invalidArgument } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { familiarName } from "../object-names.ts";
import { type Progress, startProgress } from "../progress.ts";
import { UsageError } from "../usage-error.ts";
import { platformOptions, wantedPlatforms } from "../wanted-platforms.ts";

export const command: Command = {
  summary: "Make a copy of an image with other layers or media types",
  usage: "[OPTIONS] IMAGE NAME",
  description:
    "Layers are packed anew and checked against the image's config on the way; what is as it should be is not written again. zstd implies --oci.",
  options: [
    { long: "zstd", help: "Pack layers with zstd" },
    { long: "gzip", help: "Pack layers with gzip" },
    { long: "uncompress", help: "Leave layers unpacked" },
    { long: "oci", help: "OCI's media types in place of docker's" },
    ...platformOptions,
  ],
  examples: [
    ["lighter image convert --zstd app:1 app:1-zstd", "smaller layers that unpack faster"],
    ["lighter image convert --oci app:1 app:1", "from docker's types to OCI's, under the same name"],
  ],
  words: [2, 2],
  completes: "image",
  json: true,
  run: async (context) => {
    const { client, args, json, output } = context;
    const [source = "", given = ""] = args.positional;
    const image = await findImage(client, source);
    if (image.target === undefined) throw invalidArgument(`image ${image.name} has no target`);
    const name = nameCandidates(given).at(-1) ?? given;
    const made = await convertShown(context, familiarName(image.name), (onProgress) =>
      convertImage(client, fromWire(image.target as NonNullable<typeof image.target>), name, {
        ...optionsFrom(context),
        onProgress,
      }),
    );
    if (json) printJson(output, { name, digest: made.digest, mediaType: made.mediaType });
    else output.line(`${name}  ${made.digest}`);
    return 0;
  },
};

function optionsFrom(context: CommandContext): ConvertOptions {
  const { args } = context;
  const chosen = (["zstd", "gzip", "uncompress"] as const).filter((one) => args.flag(one));
  if (chosen.length > 1) throw new UsageError(`--${chosen[0]} and --${chosen[1]} exclude each other`);
  if (chosen.length === 0 && !args.flag("oci"))
    throw new UsageError("nothing to convert", "say what with --zstd, --gzip, --uncompress or --oci");
  const [how] = chosen;
  const packing = how === undefined ? undefined : how === "uncompress" ? "none" : how;
  return { wants: wantedPlatforms(context), strict: args.has("platform"), oci: args.flag("oci"), packing };
}

/** The bar comes when it is known how much there is to do. */
async function convertShown<T>(
  { output }: CommandContext,
  name: string,
  action: (onProgress: (count: number, total: number) => void) => Promise<T>,
): Promise<T> {
  let progress: Progress | undefined;
  try {
    return await action((count, total) => {
      progress ??= startProgress(output, `converting ${name}`, total);
      progress.at(count);
    });
  } finally {
    progress?.[Symbol.dispose]();
  }
}
