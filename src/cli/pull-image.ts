import { namespaceDefaults } from "../client/containers/create.ts";
import { resolveImage } from "../client/images/image-config.ts";
import { findImage, nameCandidates } from "../client/images/names.ts";
import { unpackImage } from "../client/images/unpack.ts";
import {
  isUnpackedElsewhere,
  pullImage,
  type RegistryAccess,
  type TransferStep,
} from "../client/transfers/transfer.ts";
import { formatPlatform, hostPlatform, type Platform, strictPlatform } from "../lib/platforms.ts";
import type { CommandContext } from "./command.ts";
import { type GivenAccess, registryAccess, registryError } from "./registry-options.ts";
import { transferDisplay } from "./transfer-display.ts";
import { formatBytes } from "./units.ts";
import { unpackProgress } from "./unpack-progress.ts";

export interface PullOptions {
  readonly platforms: readonly Platform[];
  readonly unpacks: boolean;
  readonly snapshotter: string | undefined;
  /** Shows nothing on the way. */
  readonly quiet: boolean;
  readonly access: GivenAccess;
}

export interface PulledImage {
  readonly name: string;
  readonly digest: string;
  readonly fetchedBytes: number;
  readonly seconds: number;
}

/** Has the daemon pull an image, and shows how it goes on standard error. Errors: as the registry's, with what to do. */
export async function pullShown(context: CommandContext, given: string, options: PullOptions): Promise<PulledImage> {
  const { client, json, output } = context;
  const { quiet, platforms } = options;
  const reference = nameCandidates(given).at(-1) ?? given;
  const access = await registryAccess(context, reference, options.access);
  const snapshotter = options.unpacks
    ? (options.snapshotter ?? (await namespaceDefaults(client)).snapshotter)
    : undefined;
  if (!quiet) output.note(`pulling ${reference}`);
  const startedAt = performance.now();
  const pull = { access, platforms, reference, quiet };
  const { fetchedBytes, isPacked } = await pullUnpacking(context, { ...pull, snapshotter });
  if (isPacked) await unpackHere(context, { ...pull, snapshotter: snapshotter ?? "" });
  const seconds = (performance.now() - startedAt) / 1000;
  if (!quiet && !json) output.note(`pulled in ${seconds.toFixed(1)} s: ${paceOf(fetchedBytes, seconds)}`);
  const image = await findImage(client, reference);
  const digest = image.target?.digest ?? "";
  return { name: image.name, digest, fetchedBytes, seconds: Math.round(seconds * 1000) / 1000 };
}

interface OnePull {
  readonly access: RegistryAccess;
  readonly platforms: readonly Platform[];
  readonly reference: string;
  readonly quiet: boolean;
}

/** Where the daemon's transfers don't unpack to the snapshotter, the image is left as it came. */
async function pullUnpacking(
  { client, output }: CommandContext,
  { access, platforms, reference, quiet, snapshotter }: OnePull & { readonly snapshotter: string | undefined },
): Promise<{ readonly fetchedBytes: number; readonly isPacked: boolean }> {
  using display = transferDisplay(output, quiet);
  const options = { platforms, onStep: (step: TransferStep) => display.step(step) };
  let isPacked = false;
  try {
    await pullImage(client, access, { ...options, snapshotter }).catch((error: unknown) => {
      if (!isUnpackedElsewhere(error)) throw error;
      isPacked = true;
      return pullImage(client, access, options);
    });
  } catch (error) {
    throw registryError(error, "pull", reference);
  }
  return { fetchedBytes: display.movedBytes, isPacked };
}

/** Unpacks what came packed, as a run would. Errors: as unpackImage. */
async function unpackHere(
  { client, output }: CommandContext,
  { platforms, reference, quiet, snapshotter }: OnePull & { readonly snapshotter: string },
): Promise<void> {
  const here = strictPlatform(hostPlatform);
  const others = platforms.filter((platform) => !here.matches(platform));
  if (others.length > 0) output.note(`not unpacked: ${others.map(formatPlatform).join(", ")}`);
  if (others.length === platforms.length) return;
  using shown = quiet ? undefined : unpackProgress(output, reference);
  const image = await resolveImage(client, await findImage(client, reference));
  await unpackImage(client, image, { snapshotter, onProgress: shown?.onProgress });
}

function paceOf(bytes: number, seconds: number): string {
  return bytes === 0 ? "everything was there" : `${formatBytes(bytes)}, ${formatBytes(bytes / seconds)}/s`;
}
