import { invalidArgument, isFault } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { randomHex } from "../names.ts";
import type { Descriptor } from "./documents.ts";
import { chainId, type ResolvedImage, toWire } from "./image-config.ts";
import { withLease } from "./lease.ts";

export interface UnpackOptions {
  readonly snapshotter: string;
  /** One of its own, while it unpacks, when left out. */
  readonly lease?: string | undefined;
  /** Told how many bytes of the layers that have to be unpacked are done, and of how many. */
  readonly onProgress?: ((count: number, total: number) => void) | undefined;
}

/**
 * Unpacks an image's layers into snapshots, those that are not there yet.
 * Shape: the answer is the name of the top snapshot.
 * Errors: invalidArgument (layers and diff ids don't match); whatever the differ says of a layer.
 * Effects: a layer is committed whole or not at all, and is on the disk before by lighterd, at the end by another daemon; the
 * config's label keeps the snapshots from garbage collection.
 * Source: containerd client/image.go, Unpack.
 */
export function unpackImage(client: Client, image: ResolvedImage, options: UnpackOptions): Promise<string> {
  if (options.lease !== undefined) return unpack(client, image, options);
  // What is being unpacked is referred to by nothing yet.
  return withLease(client, (lease) => unpack(client, image, { ...options, lease }));
}

async function unpack(client: Client, image: ResolvedImage, options: UnpackOptions): Promise<string> {
  const { diffIds } = image.config;
  if (diffIds.length === 0 || diffIds.length !== image.layers.length) {
    throw invalidArgument(`image ${image.name}: ${image.layers.length} layers, but ${diffIds.length} diff ids`);
  }
  const top = chainId(diffIds);
  if (!(await snapshotExists(client, options.snapshotter, top)) && !(await unpackThere(client, image, options))) {
    await unpackInTurn(client, image, options);
  }
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

/** Has the daemon do it, all layers at once; false when it is one that does not. */
async function unpackThere(client: Client, image: ResolvedImage, options: UnpackOptions): Promise<boolean> {
  const { snapshotter, lease, onProgress } = options;
  const config = toWire(image.configDescriptor);
  const layers = image.layers.map(toWire);
  const totalBytes = sizeOf(image.layers);
  const offsets = new Map<string, number>();
  try {
    for await (const { layer, offset } of client.system.unpack({ config, layers, snapshotter }, { lease })) {
      offsets.set(layer, Number(offset));
      onProgress?.(
        [...offsets.values()].reduce((sum, one) => sum + one, 0),
        totalBytes,
      );
    }
    return true;
  } catch (error) {
    if (isFault(error, "notImplemented")) return false;
    throw error;
  }
}

async function unpackInTurn(client: Client, image: ResolvedImage, options: UnpackOptions): Promise<void> {
  const totalBytes = sizeOf(image.layers);
  for (let index = 0; index < image.layers.length; index++) {
    options.onProgress?.(sizeOf(image.layers.slice(0, index)), totalBytes);
    await unpackLayer(client, image, index, options);
  }
  options.onProgress?.(totalBytes, totalBytes);
}

function sizeOf(layers: readonly Descriptor[]): number {
  // A layer that is there twice is unpacked once.
  return [...new Map(layers.map(({ digest, size }) => [digest, size])).values()].reduce((sum, size) => sum + size, 0);
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
    const { applied } = await client.diff.apply(
      // Once is enough: it is the same filesystem.
      { diff: toWire(layer), mounts, syncFs: index === diffIds.length - 1 },
      { lease },
    );
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
