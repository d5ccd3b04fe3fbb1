import { open } from "node:fs/promises";
import { blobBytes, findBlob } from "../../client/content/blobs.ts";
import { maxDocumentBytes } from "../../client/images/documents.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { writeAll } from "../output.ts";
import { startProgress } from "../progress.ts";
import { printable } from "../table.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Print a blob, or write it into a file",
  usage: "[OPTIONS] DIGEST",
  description:
    "The beginning of a digest will do. On a terminal a JSON document is laid out for reading; other bytes are only written into files and pipes.",
  options: [{ long: "output", short: "o", value: "FILE", help: "Write it there" }],
  examples: [
    ["lighter content get 4f4fb700ef54", "a manifest or config, to read"],
    ["lighter content get sha256:9c5f... -o layer.tar.gz", "a layer into a file"],
  ],
  words: [1, 1],
  completes: "content",
  run: async (context) => {
    const { client, args, output } = context;
    const { digest, size } = await findBlob(client, args.positional[0] ?? "");
    const file = args.text("output");
    if (file !== undefined && file !== "-") await writeFile(context, digest, Number(size), file);
    else if (output.terminal) await show(context, digest, Number(size));
    else for await (const bytes of blobBytes(client, digest)) writeAll(1, bytes);
    return 0;
  },
};

async function writeFile(
  { client, output }: CommandContext,
  digest: string,
  size: number,
  file: string,
): Promise<void> {
  const handle = await open(file, "w").catch((error: unknown) => {
    throw new CommandError(`write ${file}: ${messageOf(error)}`, { cause: error });
  });
  try {
    using progress = startProgress(output, `writing ${file}`, size);
    let count = 0;
    for await (const bytes of blobBytes(client, digest)) {
      await handle.writeFile(bytes);
      count += bytes.length;
      progress.at(count);
    }
  } finally {
    await handle.close();
  }
}

async function show({ client, output }: CommandContext, digest: string, size: number): Promise<void> {
  const hint = `lighter content get ${digest} -o FILE`;
  if (size > maxDocumentBytes) throw new CommandError(`${digest} is not for a terminal`, { hint });
  const pieces: Uint8Array[] = [];
  for await (const bytes of blobBytes(client, digest)) pieces.push(bytes);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(pieces));
    output.line(printable(JSON.stringify(JSON.parse(text), undefined, 2), "\n"));
  } catch {
    // Whatever it is, it is no document.
    throw new CommandError(`${digest} is not for a terminal`, { hint });
  }
}
