import { mountedImages, unmountImage } from "../../client/snapshots/mounted-images.ts";
import { isFault } from "../../lib/faults.ts";
import { createKernel } from "../../sys/index.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Unmount images",
  usage: "[OPTIONS] DIR...",
  description: "What was written into one that was mounted with --rw stays as a snapshot, unless --rm is given.",
  options: [
    { long: "rm", help: "Remove what was written, too" },
    { long: "all", short: "a", help: "All that are mounted" },
  ],
  examples: [
    ["lighter image unmount /mnt", "undo lighter image mount"],
    ["lighter image unmount --all --rm", "all of them, with what was written"],
  ],
  words: [0, Number.MAX_SAFE_INTEGER],
  completes: "file",
  run: async (context) => {
    const { client, args, output } = context;
    if (process.geteuid?.() !== 0)
      throw new CommandError("unmounting takes root's rights", { hint: "run it as root, or with sudo" });
    const mounted = await mountedImages(client);
    const folders = args.flag("all") ? mounted.map(({ folder }) => folder) : args.positional;
    if (folders.length === 0 && !args.flag("all"))
      throw new CommandError("nothing to unmount", { hint: "name a folder; lighter image mount lists them" });
    const kernel = createKernel();
    return await forEach(context, folders, "image unmount", async (folder) => {
      const left = await unmountImage(client, folder, { kernel, discard: args.flag("rm") }).catch((error: unknown) => {
        if (!isFault(error, "notFound")) throw error;
        throw new CommandError(`no image is mounted on ${folder}`, {
          hint: "lighter image mount lists them",
          cause: error,
        });
      });
      output.line(folder);
      if (left !== undefined) {
        const option = left.snapshotter === "overlayfs" ? "" : ` --snapshotter ${left.snapshotter}`;
        output.note(
          `what was written is kept: lighter snapshot diff${option} ${left.key} shows it, snapshot rm drops it`,
        );
      }
    });
  },
};
