import { resolveImage } from "../../client/images/image-config.ts";
import { findImage } from "../../client/images/names.ts";
import { type MountedImage, mountedImages, mountImage } from "../../client/snapshots/mounted-images.ts";
import { isFault } from "../../lib/faults.ts";
import { createKernel } from "../../sys/index.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { familiarName } from "../object-names.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo } from "../units.ts";
import { unpackProgress } from "../unpack-progress.ts";
import { CommandError, UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Mount an image's files on a folder",
  usage: "[OPTIONS] [IMAGE DIR]",
  description:
    "To be read; with --rw to be changed too, in a snapshot of its own: the image stays as it is. Without words it lists what is mounted.",
  options: [{ long: "rw", help: "To be changed" }, snapshotterOption],
  examples: [
    ["lighter image mount alpine /mnt", "look into an image"],
    ["lighter image mount --rw alpine ./work", "change a copy of it"],
    ["lighter image mount", "what is mounted where"],
  ],
  words: [0, 2],
  completes: "image",
  json: true,
  run: async (context) => {
    const { args, client, json, output } = context;
    const [given, folder] = args.positional;
    if (given === undefined) {
      const mounted = await mountedImages(client);
      if (json) printJson(output, mounted);
      else printTable(output, columns(new Date()), mounted);
      return 0;
    }
    if (folder === undefined) throw new UsageError("where is it to be mounted?", "lighter image mount IMAGE DIR");
    const where = await mount(context, given, folder);
    if (json) printJson(output, { image: given, folder: where });
    else output.line(where);
    return 0;
  },
};

async function mount(context: CommandContext, given: string, folder: string): Promise<string> {
  const { args, client, output } = context;
  if (process.geteuid?.() !== 0)
    throw new CommandError("mounting takes root's rights", { hint: "run it as root, or with sudo" });
  const image = await resolveImage(client, await findImage(client, given));
  const snapshotter = await snapshotterOf(context);
  using progress = unpackProgress(output, familiarName(image.name));
  try {
    return await mountImage(client, image, {
      kernel: createKernel(),
      folder,
      snapshotter,
      writable: args.flag("rw"),
      onProgress: progress.onProgress,
    });
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw error;
    throw new CommandError(`something is mounted on ${folder} already`, {
      hint: `lighter image unmount ${folder}`,
      cause: error,
    });
  }
}

function columns(now: Date): Column<MountedImage>[] {
  return [
    { title: "IMAGE", value: ({ image }) => familiarName(image), shrink: true },
    { title: "FOLDER", value: ({ folder }) => folder },
    { title: "MODE", value: ({ writable }) => (writable ? "rw" : "ro") },
    { title: "MOUNTED", value: ({ createdAt }) => formatAgo(createdAt, now), spare: 1 },
  ];
}
