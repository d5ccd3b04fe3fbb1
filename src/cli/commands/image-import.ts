import { statSync } from "node:fs";
import { namespaceDefaults } from "../../client/containers/create.ts";
import { plainBytes } from "../../client/images/archive-source.ts";
import { resolveImage } from "../../client/images/image-config.ts";
import { type ImportedImage, importArchive } from "../../client/images/import-archive.ts";
import { unpackImage } from "../../client/images/unpack.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { isTerminalFd } from "../output.ts";
import { startProgress } from "../progress.ts";
import { unpackProgress } from "../unpack-progress.ts";
import { CommandError, UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Import images from a docker or OCI archive",
  usage: "[OPTIONS] FILE",
  description:
    "Reads what docker save, skopeo, umoci or ctr export wrote: a tar, plain or compressed with gzip or zstd; - is standard input.",
  options: [
    { long: "input", short: "i", value: "FILE", help: "The archive, as docker load names it", hidden: true },
    { long: "name", value: "NAME", help: "The name of an image that the archive leaves nameless" },
    { long: "no-unpack", help: "Don't unpack it now; the first run does" },
    { long: "snapshotter", value: "NAME", help: "Where it is unpacked" },
  ],
  examples: [
    ["lighter image import alpine.tar.gz", "bring an image from a file"],
    ["docker save alpine | lighter image import -", "straight from docker"],
    ["lighter image import --name mine:1 layout.tar", "an OCI layout without names"],
  ],
  words: [0, 1],
  completes: "file",
  json: true,
  run: async (context) => {
    const { args, json, output } = context;
    const path = args.positional[0] ?? args.text("input") ?? standardInput();
    const images = await importFile(context, path);
    if (json)
      printJson(
        output,
        images.map(({ name, target }) => ({ name, digest: target.digest })),
      );
    else for (const { name, target } of images) output.line(`${name}  ${target.digest}`);
    return 0;
  },
};

/** As docker load does, unless somebody sits at the keyboard. */
function standardInput(): string {
  if (isTerminalFd(0)) throw new UsageError("import needs an archive: lighter image import FILE");
  return "-";
}

async function importFile(context: CommandContext, path: string): Promise<ImportedImage[]> {
  const totalBytes = sizeOf(path);
  using progress = startProgress(context.output, `importing ${path === "-" ? "standard input" : path}`, totalBytes);
  const chunks = plainBytes(path, { onProgress: (count) => progress.at(count) });
  try {
    return await importArchive(context.client, chunks, {
      name: context.args.text("name"),
      onImage: async (image, lease) => {
        progress[Symbol.dispose]();
        if (!context.args.flag("no-unpack")) await unpack(context, image, lease);
      },
    });
  } catch (error) {
    if (!isFault(error, "invalidArgument") && !(error instanceof Error && "code" in error)) throw error;
    const hint = /no name/.test(messageOf(error)) ? "lighter image import --name NAME FILE" : undefined;
    throw new CommandError(`import ${path}: ${messageOf(error).replace(/: invalid argument$/, "")}`, {
      hint,
      cause: error,
    });
  }
}

function sizeOf(path: string): number | undefined {
  if (path === "-") return undefined;
  try {
    return statSync(path).size;
  } catch (error) {
    throw new CommandError(
      `import ${path}: ${(error as { code?: string }).code === "ENOENT" ? "no such file" : messageOf(error)}`,
    );
  }
}

/** Before the image has its name: what cannot be unpacked is not imported. */
async function unpack(context: CommandContext, { name, target }: ImportedImage, lease: string): Promise<void> {
  const { client, args, output } = context;
  try {
    const image = await resolveImage(client, { name, target, labels: {} });
    const snapshotter = args.text("snapshotter") ?? (await namespaceDefaults(client)).snapshotter;
    if (!output.errorTerminal) output.note(`unpacking ${name}`);
    using progress = unpackProgress(output, name);
    await unpackImage(client, image, { snapshotter, lease, onProgress: progress.onProgress });
  } catch (error) {
    // An image for other machines is of use to who exports or pushes it.
    if (!isFault(error, "notFound")) throw error;
    output.note(`not unpacked: ${messageOf(error)}`);
  }
}
