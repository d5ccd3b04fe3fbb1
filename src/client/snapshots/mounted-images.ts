import { mkdirSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { fault, isFault, quote } from "../../lib/faults.ts";
import type { Kernel } from "../../sys/index.ts";
import { mountAll, unmountAll } from "../../sys/index.ts";
import type { Client } from "../client.ts";
import { chainId, type ResolvedImage } from "../images/image-config.ts";
import { unpackImage } from "../images/unpack.ts";
import { listSnapshots, type Snapshot, snapshotterNames } from "./snapshots.ts";

const imageLabel = "lighter/mounted-image";
const folderLabel = "lighter/mounted-at";

export interface MountedImage {
  readonly image: string;
  readonly folder: string;
  readonly snapshotter: string;
  /** The snapshot's key. */
  readonly key: string;
  readonly writable: boolean;
  readonly createdAt: Date;
}

export interface ImageMountOptions {
  readonly kernel: Kernel;
  readonly folder: string;
  readonly snapshotter: string;
  readonly writable: boolean;
  readonly onProgress?: ((count: number, total: number) => void) | undefined;
}

/**
 * Mounts an image's files on a folder, which is made when it is not there.
 * Errors: alreadyExists (something of ours is mounted there), and the kernel's.
 * Effects: the snapshot, whose key is the folder's path as ctr has it, lives until it is unmounted.
 */
export async function mountImage(client: Client, image: ResolvedImage, options: ImageMountOptions): Promise<string> {
  const { kernel, snapshotter, writable } = options;
  mkdirSync(options.folder, { recursive: true });
  const folder = realpathSync(options.folder);
  await unpackImage(client, image, { snapshotter, onProgress: options.onProgress });
  const labels = {
    "containerd.io/gc.root": new Date().toISOString(),
    [imageLabel]: image.name,
    [folderLabel]: folder,
  };
  const request = { snapshotter, key: folder, parent: chainId(image.config.diffIds), labels };
  const made = writable ? client.snapshots.prepare(request) : client.snapshots.view(request);
  const { mounts } = await made.catch((error: unknown) => {
    throw isFault(error, "alreadyExists")
      ? fault("alreadyExists", `mount on ${quote(folder)}`, { cause: error })
      : error;
  });
  try {
    mountAll(kernel, mounts, folder);
  } catch (error) {
    await client.snapshots.remove({ snapshotter, key: folder });
    throw error;
  }
  return folder;
}

/** What was mounted and not unmounted again. */
export async function mountedImages(client: Client): Promise<MountedImage[]> {
  const names = await snapshotterNames(client);
  const lists = await Promise.all(names.map((name) => listSnapshots(client, name)));
  return lists
    .flat()
    .filter(({ labels }) => labels[folderLabel] !== undefined)
    .map(mountedOf);
}

function mountedOf({ snapshotter, name, kind, labels, createdAt }: Snapshot): MountedImage {
  return {
    image: labels[imageLabel] ?? "",
    folder: labels[folderLabel] ?? "",
    snapshotter,
    key: name,
    writable: kind === "active",
    createdAt,
  };
}

export interface UnmountOptions {
  readonly kernel: Kernel;
  /** Remove a writable snapshot too. */
  readonly discard: boolean;
}

/**
 * Unmounts an image. A read-only one leaves nothing; what was written stays as a snapshot unless it is discarded.
 * Shape: answers what is left, if anything.
 * Errors: notFound when no image is mounted there.
 */
export async function unmountImage(
  client: Client,
  given: string,
  { kernel, discard }: UnmountOptions,
): Promise<MountedImage | undefined> {
  const folder = pathOf(given);
  const mounted = (await mountedImages(client)).find((one) => one.folder === folder);
  if (mounted === undefined) throw fault("notFound", `image that is mounted on ${quote(given)}`);
  unmountAll(kernel, folder);
  if (mounted.writable && !discard) return mounted;
  await client.snapshots.remove({ snapshotter: mounted.snapshotter, key: mounted.key });
  return undefined;
}

function pathOf(given: string): string {
  try {
    return realpathSync(given);
  } catch {
    // The folder is gone; the snapshot need not be.
    return resolve(given);
  }
}
