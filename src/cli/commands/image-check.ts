import type { Client } from "../../client/client.ts";
import { blobBytes } from "../../client/content/blobs.ts";
import type { Descriptor } from "../../client/images/documents.ts";
import { chainId, fromWire, parseConfig, readBlob } from "../../client/images/image-config.ts";
import { blobsOf, type ManifestParts, manifestsOf, readImageTree } from "../../client/images/image-tree.ts";
import { findImage } from "../../client/images/names.ts";
import { findSnapshot } from "../../client/snapshots/snapshots.ts";
import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { familiarName, shortDigest } from "../object-names.ts";
import { startProgress } from "../progress.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { styleOf } from "../style.ts";
import { type Column, printTable } from "../table.ts";
import { formatBytes } from "../units.ts";
import { platformOptions, wantedPlatforms } from "../wanted-platforms.ts";

interface CheckRow {
  readonly name: string;
  readonly state: "complete" | "incomplete" | "damaged" | "broken";
  readonly presentBytes: number;
  readonly totalBytes: number;
  readonly unpacked: boolean;
  /** Digests that are missing or damaged, or a sentence. */
  readonly problems: readonly string[];
}

export const command: Command = {
  summary: "Check that images are all there",
  usage: "[OPTIONS] [IMAGE...]",
  description:
    "Looks for every blob of an image, and for its unpacked layers; --deep reads the blobs and compares their digests. The exit code is 1 when something is missing or damaged.",
  options: [{ long: "deep", help: "Read every blob" }, ...platformOptions, snapshotterOption],
  examples: [
    ["lighter image check", "all images"],
    ["lighter image check --deep alpine", "byte by byte"],
  ],
  words: [0, Number.MAX_SAFE_INTEGER],
  completes: "image",
  json: true,
  run: async (context) => {
    const { client, args, json, output } = context;
    const words = args.positional;
    const images =
      words.length === 0
        ? (await client.images.list({})).images
        : await Promise.all(words.map((word) => findImage(client, word)));
    const snapshotter = await snapshotterOf(context);
    const rows: CheckRow[] = [];
    for (const image of images) rows.push(await check(context, image, snapshotter));
    if (json) printJson(output, rows);
    else {
      printTable(output, columns(output.color), rows);
      for (const { name, problems } of rows)
        for (const problem of problems) output.note(`${familiarName(name)}: ${problem}`);
      if (rows.some(({ problems }) => problems.length > 0))
        output.note(
          "hint: lighter pull fetches what is missing; a damaged blob must be removed first: lighter content rm -f",
        );
    }
    return rows.some(({ state }) => state !== "complete") ? 1 : 0;
  },
};

async function check(context: CommandContext, image: Image, snapshotter: string): Promise<CheckRow> {
  const { client, args, output } = context;
  const none = { name: image.name, presentBytes: 0, totalBytes: 0, unpacked: false };
  try {
    if (image.target === undefined) return { ...none, state: "broken", problems: ["it points at nothing"] };
    const skipMissing = args.flag("all-platforms");
    const tree = await readImageTree(client, fromWire(image.target), { wants: wantedPlatforms(context), skipMissing });
    const blobs = blobsOf(tree);
    const totalBytes = blobs.reduce((sum, { size }) => sum + size, 0);
    using progress = args.flag("deep")
      ? startProgress(output, `reading ${familiarName(image.name)}`, totalBytes)
      : undefined;
    const problems: string[] = [];
    let [presentBytes, readBytes] = [0, 0];
    for (const blob of blobs) {
      const problem = await blobProblem(
        client,
        blob,
        progress === undefined ? undefined : (n) => progress.at((readBytes += n)),
      );
      if (problem === undefined) presentBytes += blob.size;
      else problems.push(problem);
    }
    const state =
      problems.length === 0 ? "complete" : problems.some((one) => one.includes("damaged")) ? "damaged" : "incomplete";
    const unpacked = problems.length === 0 && (await isUnpacked(client, manifestsOf(tree), snapshotter));
    return { name: image.name, state, presentBytes, totalBytes, unpacked, problems };
  } catch (error) {
    const state = isFault(error, "notFound") ? "incomplete" : "broken";
    if (state === "broken" && !isFault(error, "invalidArgument")) throw error;
    return { ...none, state, problems: [messageOf(error)] };
  }
}

async function blobProblem(
  client: Client,
  { digest, size }: Descriptor,
  onRead: ((count: number) => void) | undefined,
): Promise<string | undefined> {
  try {
    const { info } = await client.content.info({ digest });
    if (Number(info?.size ?? 0n) !== size) return `blob ${digest} is damaged: ${info?.size} bytes, not ${size}`;
    if (onRead === undefined) return (await isReadable(client, digest, size)) ? undefined : `blob ${digest} is missing`;
    const hasher = new Bun.CryptoHasher("sha256");
    for await (const bytes of blobBytes(client, digest)) {
      hasher.update(bytes);
      onRead(bytes.length);
    }
    const found = `sha256:${hasher.digest("hex")}`;
    return found === digest ? undefined : `blob ${digest} is damaged: it is ${shortDigest(found)}`;
  } catch (error) {
    if (isFault(error, "notFound")) return `blob ${digest} is missing`;
    throw error;
  }
}

/** A row may have lost its file: the last byte tells. */
async function isReadable(client: Client, digest: string, size: number): Promise<boolean> {
  try {
    let count = 0;
    const last = { digest, offset: BigInt(Math.max(0, size - 1)), size: 1n };
    for await (const { data } of client.content.read(last)) count += data.length;
    return count > 0 || size === 0;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw error;
  }
}

async function isUnpacked(client: Client, manifests: readonly ManifestParts[], snapshotter: string): Promise<boolean> {
  for (const { config } of manifests) {
    const { diffIds } = parseConfig(await readBlob(client, config), `config ${config.digest}`);
    if (diffIds.length === 0) continue;
    try {
      await findSnapshot(client, snapshotter, chainId(diffIds));
      return true;
    } catch (error) {
      if (!isFault(error, "notFound")) throw error;
    }
  }
  return false;
}

function columns(color: boolean): Column<CheckRow>[] {
  const style = styleOf(color);
  return [
    { title: "NAME", value: ({ name }) => familiarName(name), shrink: true },
    {
      title: "STATE",
      value: ({ state }) => state,
      paint: (text, { state }) => (state === "complete" ? style.green(text) : style.red(text)),
    },
    {
      title: "BLOBS",
      value: ({ presentBytes, totalBytes }) => `${formatBytes(presentBytes)} of ${formatBytes(totalBytes)}`,
      align: "right",
    },
    { title: "UNPACKED", value: ({ unpacked }) => (unpacked ? "yes" : "no") },
  ];
}
