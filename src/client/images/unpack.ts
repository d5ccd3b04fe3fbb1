import { invalidArgument, isFault } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { randomHex } from "../names.ts";
import { chainId, type ResolvedImage, toWire } from "./image-config.ts";

export interface UnpackOptions {
  readonly snapshotter: string;
  readonly lease?: string | undefined;
  /** Called before each layer. */
  readonly onLayer?: ((index: number, count: number) => void) | undefined;
}

/**
 * Unpacks an image's layers into snapshots, those that are not there yet.
 * Shape: the answer is the name of the top snapshot.
 * Errors: invalidArgument (layers and diff ids don't match); whatever the differ says of a layer.
 * Effects: a layer is committed whole or not at all; the config's label keeps the snapshots from garbage collection.
 * Source: containerd client/image.go, Unpack.
 */
export async function unpackImage(client: Client, image: ResolvedImage, options: UnpackOptions): Promise<string> {
  const { diffIds } = image.config;
  if (diffIds.length === 0 || diffIds.length !== image.layers.length) {
    throw invalidArgument(`image ${image.name}: ${image.layers.length} layers, but ${diffIds.length} diff ids`);
  }
  for (let index = 0; index < diffIds.length; index++) {
    options.onLayer?.(index, diffIds.length);
    await unpackLayer(client, image, index, options);
  }
  const top = chainId(diffIds);
  const label = `containerd.io/gc.ref.snapshot.${options.snapshotter}`;
  await client.content.update(
    {
      info: { digest: image.configDescriptor.digest, labels: { [label]: top } },
      updateMask: { paths: [`labels.${label}`] },
    },
    { lease: options.lease },
  );
  return top;
}

async function unpackLayer(client: Client, image: ResolvedImage, index: number, options: UnpackOptions): Promise<void> {
  const { snapshotter, lease } = options;
  const { diffIds } = image.config;
  const name = chainId(diffIds.slice(0, index + 1));
  if (await snapshotExists(client, snapshotter, name)) return;
  const parent = index === 0 ? "" : chainId(diffIds.slice(0, index));
  const key = `extract-${randomHex(12)} ${name}`;
  const layer = image.layers[index];
  if (layer === undefined) throw invalidArgument(`image ${image.name}: layer ${index} is missing`);
  const { mounts } = await client.snapshots.prepare({ snapshotter, key, parent }, { lease });
  try {
    const { applied } = await client.diff.apply({ diff: toWire(layer), mounts }, { lease });
    if (applied?.digest !== diffIds[index]) {
      throw invalidArgument(
        `layer ${layer.digest} unpacks to ${applied?.digest ?? "nothing"}, not to ${diffIds[index]}`,
      );
    }
    await client.snapshots.commit({ snapshotter, name, key }, { lease });
  } catch (error) {
    await client.snapshots.remove({ snapshotter, key }).catch(() => {
      // The first failure is the one to tell; an unreferenced snapshot is garbage that the daemon collects.
    });
    if (!isFault(error, "alreadyExists")) throw error;
  }
}

async function snapshotExists(client: Client, snapshotter: string, key: string): Promise<boolean> {
  try {
    await client.snapshots.stat({ snapshotter, key });
    return true;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw error;
  }
}
