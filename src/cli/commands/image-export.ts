import { createGzip, createZstdCompress } from "node:zlib";
import { through } from "../../client/images/archive-source.ts";
import { type ExportedImage, imageArchive } from "../../client/images/export-archive.ts";
import { fromWire } from "../../client/images/image-config.ts";
import { readImageTree } from "../../client/images/image-tree.ts";
import { findImage } from "../../client/images/names.ts";
import { invalidArgument, isFault } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { familiarName } from "../object-names.ts";
import { writeAll } from "../output.ts";
import { writeWholeFile } from "../partial-file.ts";
import { startProgress } from "../progress.ts";
import { formatBytes } from "../units.ts";
import { CommandError, UsageError } from "../usage-error.ts";
import { platformOptions, wantedPlatforms } from "../wanted-platforms.ts";

export const command: Command = {
  summary: "Write images into an archive",
  usage: "[OPTIONS] IMAGE...",
  description:
    "An OCI layout in a tar that docker load, skopeo and lighter image import read. A file that ends in .gz or .zst is compressed so; layers mostly are already.",
  options: [
    { long: "output", short: "o", value: "FILE", help: "Write it there, and not to standard output" },
    ...platformOptions,
    { long: "compress", value: "HOW", choices: ["none", "gzip", "zstd"], help: "Compress the archive" },
  ],
  examples: [
    ["lighter image export -o alpine.tar alpine", "into a file"],
    ["lighter image export alpine busybox | ssh box lighter image import -", "to another machine"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "image",
  run: async (context) => {
    const { client, args, output } = context;
    const file = args.text("output") ?? "-";
    if (file === "-" && output.terminal)
      throw new UsageError("an archive is not for a terminal", "give a file with -o FILE, or pipe it on");
    const images = await chosenImages(context);
    const archive = imageArchive(client, images);
    const names = images.map(({ name }) => familiarName(name)).join(", ");
    {
      using progress = startProgress(output, `exporting ${names}`, archive.totalBytes);
      let count = 0;
      const plain = counted(archive.bytes(), (bytes) => {
        count += bytes;
        progress.at(count);
      });
      const chunks = compressed(plain, args.text("compress") ?? suffixOf(file));
      if (file === "-") for await (const bytes of chunks) writeAll(1, bytes);
      else await writeWholeFile(file, chunks, () => {});
    }
    if (file !== "-") output.note(`wrote ${file}, ${formatBytes(Bun.file(file).size)}`);
    return 0;
  },
};

async function chosenImages(context: CommandContext): Promise<ExportedImage[]> {
  const { client, args } = context;
  const wants = wantedPlatforms(context);
  const images: ExportedImage[] = [];
  for (const word of args.positional) {
    const { name, target } = await findImage(client, word);
    if (target === undefined) throw invalidArgument(`image ${name} has no target`);
    const options = { wants, strict: args.has("platform"), skipMissing: args.flag("all-platforms") };
    const tree = await readImageTree(client, fromWire(target), options).catch((error: unknown) => {
      if (!isFault(error, "notFound")) throw error;
      throw new CommandError(`export ${familiarName(name)}: ${error.message}`, {
        hint: "--all-platforms takes whatever is here; lighter image check shows what that is",
        cause: error,
      });
    });
    images.push({ name, tree });
  }
  return images;
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    yield bytes;
    onBytes(bytes.length);
  }
}

function suffixOf(file: string): string {
  if (/\.(?:gz|tgz)$/.test(file)) return "gzip";
  return /\.(?:zst|tzst)$/.test(file) ? "zstd" : "none";
}

function compressed(source: AsyncIterable<Uint8Array>, how: string): AsyncIterable<Uint8Array> {
  if (how === "gzip") return through(source, createGzip());
  return how === "zstd" ? through(source, createZstdCompress()) : source;
}
