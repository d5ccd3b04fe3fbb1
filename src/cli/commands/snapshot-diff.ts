import { open } from "node:fs/promises";
import type { Client } from "../../client/client.ts";
import { blobBytes } from "../../client/content/blobs.ts";
import { mediaTypes } from "../../client/images/documents.ts";
import { withLease } from "../../client/images/lease.ts";
import { randomHex } from "../../client/names.ts";
import { findSnapshot, type Snapshot } from "../../client/snapshots/snapshots.ts";
import type { Mount } from "../../gen/containerd/types/mount_pb.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { writeAll } from "../output.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { CommandError } from "../usage-error.ts";

const typeOf = { none: mediaTypes.layer, gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd } as const;
type Compression = keyof typeof typeOf;

export const command: Command = {
  summary: "Write what a snapshot changed as a layer",
  usage: "[OPTIONS] SNAPSHOT [OLDER]",
  description:
    "Compares it with its parent, or with another snapshot, and puts the difference into the content store as a layer; -o writes it into a file or, as -, to standard output.",
  options: [
    snapshotterOption,
    {
      long: "compress",
      value: "HOW",
      choices: Object.keys(typeOf),
      help: "How it is packed: none, gzip (as it is) or zstd",
    },
    { long: "output", short: "o", value: "FILE", help: "Write it there instead" },
    { long: "keep", help: "Keep the blob until it is removed" },
  ],
  examples: [
    ["lighter snapshot diff --compress none -o - web | tar -tv", "the files that container web wrote"],
    ["lighter snapshot diff --keep web", "the same as a layer in the content store"],
  ],
  words: [1, 2],
  completes: "snapshot",
  json: true,
  run: async (context) => {
    const { client, args, json, output } = context;
    const snapshotter = await snapshotterOf(context);
    const [given = "", older] = args.positional;
    const upper = await findSnapshot(client, snapshotter, given);
    const lower = older === undefined ? upper.parent : (await findSnapshot(client, snapshotter, older)).name;
    const layer = await withLease(client, async (lease) => {
      const made = await compare(context, upper, lower, lease);
      const file = args.text("output");
      if (file !== undefined) await writeLayer(client, made.digest, file);
      return made;
    });
    if (json && args.text("output") !== "-") printJson(output, layer);
    else if (!args.has("output")) output.line(layer.digest);
    return 0;
  },
};

interface Layer {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

async function compare(context: CommandContext, upper: Snapshot, lower: string, lease: string): Promise<Layer> {
  const { client, args } = context;
  const { snapshotter } = upper;
  await using left = await mountsOf(client, snapshotter, lower, lease);
  await using right =
    upper.kind === "committed"
      ? await mountsOf(client, snapshotter, upper.name, lease)
      : kept((await client.snapshots.mounts({ snapshotter, key: upper.name })).mounts);
  const mediaType = typeOf[(args.text("compress") ?? "gzip") as Compression];
  const labels: Record<string, string> = args.flag("keep") ? { "containerd.io/gc.root": new Date().toISOString() } : {};
  const request = { left: [...left.mounts], right: [...right.mounts], mediaType, ref: `diff-${randomHex(16)}`, labels };
  const { diff } = await client.diff.diff(request, { lease });
  return { mediaType: diff?.mediaType ?? mediaType, digest: diff?.digest ?? "", sizeBytes: Number(diff?.size ?? 0n) };
}

interface HeldMounts extends AsyncDisposable {
  readonly mounts: readonly Mount[];
}

function kept(mounts: readonly Mount[]): HeldMounts {
  return { mounts, [Symbol.asyncDispose]: async () => {} };
}

/** A committed snapshot is looked at through a view, which goes afterwards. Nothing at all is an empty list. */
async function mountsOf(client: Client, snapshotter: string, parent: string, lease: string): Promise<HeldMounts> {
  if (parent === "") return kept([]);
  const key = `diff-${randomHex(12)}`;
  const { mounts } = await client.snapshots.view({ snapshotter, key, parent }, { lease });
  return {
    mounts,
    [Symbol.asyncDispose]: async () => {
      await client.snapshots.remove({ snapshotter, key }).catch(() => {
        // The lease lets it go.
      });
    },
  };
}

async function writeLayer(client: Client, digest: string, file: string): Promise<void> {
  if (file === "-") {
    for await (const bytes of blobBytes(client, digest)) writeAll(1, bytes);
    return;
  }
  const handle = await open(file, "w").catch((error: unknown) => {
    throw new CommandError(`write ${file}: ${messageOf(error)}`, { cause: error });
  });
  try {
    for await (const bytes of blobBytes(client, digest)) await handle.writeFile(bytes);
  } finally {
    await handle.close();
  }
}
