import { chainId, resolveImage } from "../client/images/image-config.ts";
import { findImage } from "../client/images/names.ts";
import { unpackImage } from "../client/images/unpack.ts";
import { findSnapshot } from "../client/snapshots/snapshots.ts";
import { fault, isFault, quote } from "../lib/faults.ts";
import type { OptionSpec } from "./args.ts";
import type { CommandContext } from "./command.ts";
import { parseLabels } from "./label-words.ts";
import { printMounts } from "./mount-words.ts";
import { snapshotterOf, snapshotterOption } from "./snapshot-options.ts";

export const newSnapshotOptions: readonly OptionSpec[] = [
  snapshotterOption,
  { long: "label", short: "l", value: "KEY=VALUE", many: true, help: "A label; may be repeated" },
  { long: "lease", value: "ID", help: "Keep it for as long as that lease lives, and not until it is removed" },
];

/**
 * Makes a snapshot on a parent, which may be an image, and prints how it is mounted.
 * Effects: without a lease it gets the label that keeps it from garbage collection.
 */
export async function makeSnapshot(context: CommandContext, kind: "prepare" | "view"): Promise<number> {
  const { client, args } = context;
  const snapshotter = await snapshotterOf(context);
  const [key = "", given] = args.positional;
  const parent = given === undefined ? "" : await parentOf(context, snapshotter, given);
  const lease = args.text("lease");
  const labels = parseLabels(args.list("label"));
  if (lease === undefined) labels["containerd.io/gc.root"] ??= new Date().toISOString();
  const request = { snapshotter, key, parent, labels };
  const { mounts } = await (kind === "view"
    ? client.snapshots.view(request, { lease })
    : client.snapshots.prepare(request, { lease }));
  printMounts(context, mounts, "DIR");
  return 0;
}

/** A snapshot's name, or the top of an image, which is unpacked when it is not. */
async function parentOf({ client }: CommandContext, snapshotter: string, given: string): Promise<string> {
  try {
    return (await findSnapshot(client, snapshotter, given)).name;
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
  const image = await findImage(client, given).catch((error: unknown) => {
    throw isFault(error, "notFound") ? fault("notFound", `snapshot or image ${quote(given)}`) : error;
  });
  const resolved = await resolveImage(client, image);
  await unpackImage(client, resolved, { snapshotter });
  return chainId(resolved.config.diffIds);
}
