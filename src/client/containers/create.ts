import type { Mount } from "../../gen/containerd/types/mount_pb.ts";
import { fault, invalidArgument, isFault, quote } from "../../lib/faults.ts";
import { type HealthDocument, healthLabels, parseHealthCheck } from "../../lib/health-labels.ts";
import type { Client } from "../client.ts";
import { chainId, emptyConfig, type ImageConfig, type ResolvedImage, resolveImage } from "../images/image-config.ts";
import { findImage } from "../images/names.ts";
import { randomHex } from "../names.ts";
import { containerSpec, type SpecOptions } from "../spec/container-spec.ts";
import { resolveUser } from "../spec/users.ts";
import { encodeMessage } from "../transport/codec.ts";
import { containerLabels } from "./labels.ts";
import { readerOf, rootfsReader } from "./rootfs-files.ts";

const encoder = new TextEncoder();
const specType = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const runcOptionsType = "containerd.runc.v1.Options";

export interface CreateOptions {
  readonly id: string;
  /** An image's name; left out with `rootfs`. */
  readonly image?: string | undefined;
  /** A folder to run in, instead of an image. */
  readonly rootfs?: string | undefined;
  readonly spec: SpecOptions;
  /** In place of the image's user. */
  readonly user?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** How its health is checked: what is left out is the image's. */
  readonly health?: HealthDocument | undefined;
  /** The shim's name, io.containerd.runc.v2 unless the namespace says otherwise. */
  readonly runtime?: string | undefined;
  /** The OCI runtime's binary, e.g. crun. */
  readonly runtimeBinary?: string | undefined;
  readonly snapshotter?: string | undefined;
  /** Told of the bytes that are unpacked, when the image must be first, and of how many. */
  readonly onUnpack?: ((count: number, total: number) => void) | undefined;
}

/** A container whose record is made; a task may be created from it. */
export interface CreatedContainer {
  readonly id: string;
  /** Both empty for one that runs in a folder. */
  readonly snapshotter: string;
  readonly snapshotKey: string;
  readonly mounts: readonly Mount[];
  /** Settles when what was only needed on the way is gone; awaited before the command ends. */
  readonly settled: Promise<void>;
}

/**
 * Makes a container: a snapshot of its image for its root, and its record.
 * Errors: notFound (the image, a user), alreadyExists (the id), invalidArgument (the spec).
 * Effects: a lease keeps the snapshot until the record refers to it, and expires by itself if this process dies.
 */
export async function createContainer(client: Client, options: CreateOptions): Promise<CreatedContainer> {
  if (options.image === undefined) return createFromFolder(client, options);
  const lease = randomHex(16);
  const leased = client.leases.create({ id: lease, labels: { "containerd.io/gc.expire": inOneHour() } });
  // Its failure is told when it is awaited below; the image's absence is the better news.
  leased.catch(() => {});
  const [image, defaults] = await Promise.all([findImage(client, options.image), namespaceDefaults(client)]);
  const snapshotter = options.snapshotter ?? defaults.snapshotter;
  const [resolved] = await Promise.all([resolveImage(client, image), leased]);
  const dropLease = (): Promise<void> =>
    client.leases.delete({ id: lease }).then(
      () => {},
      () => {},
    );
  try {
    const mounts = await prepareRoot(client, resolved, { ...options, snapshotter, lease });
    try {
      await createRecord(client, options, resolved.config, readerOf(mounts), {
        runtime: options.runtime ?? defaults.runtime,
        snapshotter,
        image: resolved.name,
      });
    } catch (error) {
      await removeSnapshot(client, snapshotter, options.id);
      throw error;
    }
    return { id: options.id, snapshotter, snapshotKey: options.id, mounts, settled: dropLease() };
  } catch (error) {
    await dropLease();
    throw error;
  }
}

async function createFromFolder(client: Client, options: CreateOptions): Promise<CreatedContainer> {
  const { runtime } = await namespaceDefaults(client);
  await createRecord(client, options, emptyConfig, rootfsReader([options.rootfs ?? ""]), {
    runtime: options.runtime ?? runtime,
  });
  return { id: options.id, snapshotter: "", snapshotKey: "", mounts: [], settled: Promise.resolve() };
}

interface Defaults {
  readonly snapshotter: string;
  readonly runtime: string;
}

/** What a namespace's labels set as defaults. Source: containerd pkg/namespaces and defaults. */
export async function namespaceDefaults(client: Client): Promise<Defaults> {
  const labels = await client.namespaces.get({ name: client.namespace }).then(
    ({ namespace }) => namespace?.labels ?? {},
    (error: unknown): Record<string, string> => {
      if (isFault(error, "notFound")) return {};
      throw error;
    },
  );
  return {
    snapshotter: labels["containerd.io/defaults/snapshotter"] ?? "overlayfs",
    runtime: labels["containerd.io/defaults/runtime"] ?? "io.containerd.runc.v2",
  };
}

interface RootOptions extends CreateOptions {
  readonly snapshotter: string;
  readonly lease: string;
}

/** Prepares the snapshot as if the image were unpacked, which it mostly is, and unpacks it when that was wrong. */
async function prepareRoot(client: Client, image: ResolvedImage, options: RootOptions): Promise<readonly Mount[]> {
  const { snapshotter, lease } = options;
  const request = { snapshotter, key: options.id, parent: chainId(image.config.diffIds) };
  try {
    return (await client.snapshots.prepare(request, { lease })).mounts;
  } catch (error) {
    if (!isFault(error, "notFound")) throw snapshotFault(error, options.id);
  }
  const { unpackImage } = await import("../images/unpack.ts");
  await unpackImage(client, image, { snapshotter, lease, onProgress: options.onUnpack });
  return (await client.snapshots.prepare(request, { lease })).mounts;
}

function snapshotFault(error: unknown, id: string): unknown {
  if (!isFault(error, "alreadyExists")) return error;
  return fault("alreadyExists", `container or snapshot ${quote(id)}`, { cause: error });
}

interface RecordParts {
  readonly runtime: string;
  readonly snapshotter?: string;
  readonly image?: string;
}

async function createRecord(
  client: Client,
  options: CreateOptions,
  config: ImageConfig,
  read: (path: string) => string | undefined,
  parts: RecordParts,
): Promise<void> {
  const user = resolveUser(options.user ?? config.user, read);
  const spec = containerSpec(client.namespace, options.id, config, user, {
    ...options.spec,
    rootfs: options.rootfs ?? options.spec.rootfs,
  });
  const stopSignal = config.stopSignal === "" ? "SIGTERM" : config.stopSignal;
  await client.containers.create({
    container: {
      id: options.id,
      image: parts.image ?? "",
      labels: {
        ...usable(config.labels),
        [containerLabels.stopSignal]: stopSignal,
        ...healthLabel(config, options.health),
        ...(options.spec.terminal === true ? { [containerLabels.terminal]: "true" } : {}),
        ...options.labels,
      },
      runtime: { name: parts.runtime, ...runtimeOptions(options.runtimeBinary) },
      spec: { typeUrl: specType, value: encoder.encode(JSON.stringify(spec)) },
      ...(parts.snapshotter === undefined ? {} : { snapshotter: parts.snapshotter, snapshotKey: options.id }),
    },
  });
}

/**
 * What is checked, as the daemon finds it; nothing for a container that has no check.
 * Errors: invalidArgument (the check makes no sense, or is longer than a label may be).
 */
function healthLabel({ healthCheck }: ImageConfig, given: HealthDocument | undefined): Record<string, string> {
  if (healthCheck === undefined && given === undefined) return {};
  const text = JSON.stringify({ ...healthCheck, ...given });
  if (parseHealthCheck(text) === undefined) return {};
  if (labelBytes(healthLabels.check, text) > labelMaxBytes) throw invalidArgument("health check: longer than 4 KiB");
  return { [healthLabels.check]: text };
}

const labelMaxBytes = 4096;

/** As the daemon counts a label. Source: containerd pkg/labels/validate.go. */
function labelBytes(key: string, value: string): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value);
}

/** Labels longer than the daemon takes are an image's decoration, no reason not to run it. Source: containerd core/metadata, labels. */
function usable(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([key, value]) => labelBytes(key, value) <= labelMaxBytes));
}

function runtimeOptions(binaryName: string | undefined): { options?: { typeUrl: string; value: Uint8Array } } {
  if (binaryName === undefined) return {};
  return { options: { typeUrl: runcOptionsType, value: encodeMessage(runcOptionsType, { binaryName }) } };
}

/** Removes a container's snapshot; one that is gone is no failure. */
export async function removeSnapshot(client: Client, snapshotter: string, key: string): Promise<void> {
  try {
    await client.snapshots.remove({ snapshotter, key });
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}

function inOneHour(): string {
  return new Date(Date.now() + 3_600_000).toISOString();
}
