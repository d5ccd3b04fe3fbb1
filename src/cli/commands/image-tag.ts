import { fromWire } from "../../client/images/image-config.ts";
import { putImage } from "../../client/images/import-archive.ts";
import { findImage, nameCandidates } from "../../client/images/names.ts";
import { invalidArgument } from "../../lib/faults.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  summary: "Give an image another name",
  usage: "IMAGE NAME",
  options: [],
  examples: [["lighter image tag mybox:latest mybox:1.0", "the same image under a second name"]],
  words: [2, 2],
  completes: "image",
  run: async ({ client, args, output }) => {
    const [source = "", given = ""] = args.positional;
    const image = await findImage(client, source);
    if (image.target === undefined) throw invalidArgument(`image ${image.name} has no target`);
    const name = nameCandidates(given).at(-1) ?? given;
    await putImage(client, { name, target: fromWire(image.target) });
    output.line(name);
    return 0;
  },
};
