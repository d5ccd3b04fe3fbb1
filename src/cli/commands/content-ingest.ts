import { statSync } from "node:fs";
import { findBlob } from "../../client/content/blobs.ts";
import { BlobWriter, type WrittenBlob } from "../../client/images/blob-writer.ts";
import { isDigest } from "../../client/images/documents.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { parseLabels } from "../label-words.ts";
import { startProgress } from "../progress.ts";
import { CommandError, UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Put a file into the content store",
  usage: "[OPTIONS] FILE",
  description:
    "Prints the digest; - is standard input. Without --keep or --lease nothing refers to the blob, and the next garbage collection takes it away.",
  options: [
    { long: "expected", value: "DIGEST", help: "Fail when it is not this" },
    { long: "label", short: "l", value: "KEY=VALUE", many: true, help: "A label; may be repeated" },
    { long: "keep", help: "Keep it until it is removed" },
    { long: "lease", value: "ID", help: "Keep it for as long as that lease lives" },
  ],
  examples: [
    ["lighter content ingest --keep layer.tar.gz", "a layer"],
    ["curl -L $URL | lighter content ingest --expected sha256:9c5f... -", "a download that is checked on the way"],
  ],
  words: [1, 1],
  completes: "file",
  json: true,
  run: async (context) => {
    const { args, json, output } = context;
    const labels = parseLabels(args.list("label"));
    if (args.flag("keep")) labels["containerd.io/gc.root"] = new Date().toISOString();
    const written = await ingest(context, args.positional[0] ?? "", labels);
    if (json) printJson(output, written);
    else output.line(written.digest);
    if (!args.flag("keep") && !args.has("lease") && Object.keys(labels).length === 0)
      output.note("nothing refers to it yet: --keep or --lease ID keeps it from garbage collection");
    return 0;
  },
};

async function ingest(context: CommandContext, path: string, labels: Record<string, string>): Promise<WrittenBlob> {
  const { client, args, output } = context;
  const expected = args.text("expected");
  if (expected !== undefined && !isDigest(expected))
    throw new UsageError(`option --expected: ${JSON.stringify(expected)} is no sha256 digest`);
  const size = path === "-" ? undefined : sizeOf(path);
  const writer = new BlobWriter(client, { expected, lease: args.text("lease"), totalBytes: size });
  using progress = startProgress(output, `reading ${path === "-" ? "standard input" : path}`, size);
  try {
    for await (const bytes of path === "-" ? Bun.stdin.stream() : Bun.file(path).stream()) {
      await writer.write(bytes);
      progress.at(writer.sizeBytes);
    }
  } catch (error) {
    await writer.abort();
    throw error;
  }
  const written = await writer.commit(labels);
  // One that was there already did not get the labels.
  if (Object.keys(labels).length > 0) {
    const { labelBlob } = await import("../../client/content/blobs.ts");
    await labelBlob(client, written.digest, labels);
  } else await findBlob(client, written.digest);
  return written;
}

function sizeOf(path: string): number {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw new CommandError(`${path} is a folder`);
    return stat.size;
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const missing = (error as { code?: string }).code === "ENOENT";
    throw new CommandError(`read ${path}: ${missing ? "no such file" : messageOf(error)}`, { cause: error });
  }
}
