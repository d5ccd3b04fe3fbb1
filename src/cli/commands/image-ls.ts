import type { Client } from "../../client/client.ts";
import { dateOf } from "../../client/containers/tasks.ts";
import { type ResolvedImage, resolveImage } from "../../client/images/image-config.ts";
import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { isFault } from "../../lib/faults.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { familiarName } from "../object-names.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, formatBytes } from "../units.ts";

interface ImageRow {
  readonly name: string;
  readonly digest: string;
  readonly sizeBytes: number | undefined;
  readonly platform: string;
  readonly createdAt: Date;
}

export const command: Command = {
  summary: "List images",
  usage: "[OPTIONS] [NAME-PART]",
  options: [
    { long: "quiet", short: "q", help: "Only the names" },
    { long: "digests", help: "Whole digests" },
  ],
  examples: [
    ["lighter image ls", "what is here"],
    ["lighter image ls -q busybox", "names that hold a word"],
  ],
  words: [0, 1],
  json: true,
  run: async ({ client, args, json, output }) => {
    const part = args.positional[0] ?? "";
    const images = (await client.images.list({})).images.filter(({ name }) => name.includes(part));
    if (args.flag("quiet")) {
      for (const { name } of images) output.line(name);
      return 0;
    }
    const rows = await Promise.all(images.map((image) => rowOf(client, image)));
    if (json) printJson(output, rows);
    else printTable(output, columns(args.flag("digests"), output.terminal, new Date()), rows);
    return 0;
  },
};

function columns(wholeDigests: boolean, forPeople: boolean, now: Date): Column<ImageRow>[] {
  return [
    { title: "NAME", value: ({ name }) => (forPeople ? familiarName(name) : name), shrink: true },
    {
      title: "DIGEST",
      value: ({ digest }) => (wholeDigests ? digest : digest.slice(0, 19)),
      ...(wholeDigests ? {} : { spare: 2 }),
    },
    { title: "PLATFORM", value: ({ platform }) => platform, spare: 1 },
    {
      title: "SIZE",
      value: ({ sizeBytes }) => (sizeBytes === undefined ? "?" : formatBytes(sizeBytes)),
      align: "right",
    },
    { title: "CREATED", value: ({ createdAt }) => formatAgo(createdAt, now), spare: 3 },
  ];
}

async function rowOf(client: Client, image: Image): Promise<ImageRow> {
  const base = { name: image.name, digest: image.target?.digest ?? "", createdAt: dateOf(image.createdAt) };
  try {
    const resolved = await resolveImage(client, image);
    const { os, architecture } = resolved.config;
    return { ...base, sizeBytes: sizeOf(resolved), platform: `${os}/${architecture}` };
  } catch (error) {
    // An image for other machines, or one that lacks a blob, is listed all the same.
    if (isFault(error, "notFound")) return { ...base, sizeBytes: undefined, platform: "not for this machine" };
    return { ...base, sizeBytes: undefined, platform: "broken" };
  }
}

/** What its blobs take, compressed as they are. */
function sizeOf({ manifest, configDescriptor, layers }: ResolvedImage): number {
  return [manifest, configDescriptor, ...layers].reduce((sum, { size }) => sum + size, 0);
}
