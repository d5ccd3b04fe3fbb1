import { namespaceDefaults } from "../client/containers/create.ts";
import { findImage, nameCandidates } from "../client/images/names.ts";
import { pullImage } from "../client/transfers/transfer.ts";
import type { Platform } from "../lib/platforms.ts";
import type { CommandContext } from "./command.ts";
import { type GivenAccess, registryAccess, registryError } from "./registry-options.ts";
import { transferDisplay } from "./transfer-display.ts";
import { formatBytes } from "./units.ts";

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
  let fetchedBytes = 0;
  {
    using display = transferDisplay(output, quiet);
    try {
      await pullImage(client, access, { platforms, snapshotter, onStep: (step) => display.step(step) });
    } catch (error) {
      throw registryError(error, "pull", reference);
    }
    fetchedBytes = display.movedBytes;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  if (!quiet && !json) output.note(`pulled in ${seconds.toFixed(1)} s: ${paceOf(fetchedBytes, seconds)}`);
  const image = await findImage(client, reference);
  const digest = image.target?.digest ?? "";
  return { name: image.name, digest, fetchedBytes, seconds: Math.round(seconds * 1000) / 1000 };
}

function paceOf(bytes: number, seconds: number): string {
  return bytes === 0 ? "everything was there" : `${formatBytes(bytes)}, ${formatBytes(bytes / seconds)}/s`;
}
