import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { CheckpointOptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Checkpoint } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { type Digest, parseDigest } from "../../lib/digest.ts";
import { isFault } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import { anyOf } from "../../wire/any.ts";
import type { ContentStore } from "../content/index.ts";
import { checkpointMediaTypes, one, readIndex, writeBlob } from "../tasks/index.ts";

/** Marks the index of a named checkpoint: `<container>/<name>`. */
export const checkpointLabel = "io.lighter.checkpoint";
const rootLabel = "containerd.io/gc.root";

/** How the runtime is asked for a checkpoint. */
export function optionsOf(wanted: Checkpoint, imagePath = ""): Any {
  const { exit, terminal, openTcp, externalUnixSockets, fileLocks, emptyNamespaces } = wanted;
  const fields = { exit, terminal, openTcp, externalUnixSockets, fileLocks, emptyNamespaces, imagePath };
  return anyOf(CheckpointOptionsSchema, create(CheckpointOptionsSchema, fields));
}

export interface IndexParts {
  readonly container: Container;
  readonly name: string;
  readonly createdAt: Instant;
  readonly options: Any;
  /** What the task's checkpoint gave: images and configuration. */
  readonly descriptors: readonly Descriptor[];
}

/**
 * Writes the index of a checkpoint, with the options beside what the task gave, in containerd's form, and keeps it.
 * Source: containerd client/container.go, Checkpoint; client/container_checkpoint_opts.go.
 */
export async function writeIndex(ctx: Ctx, content: ContentStore, parts: IndexParts): Promise<Descriptor> {
  const { container, name, createdAt } = parts;
  const own = `${container.id}-${name}`;
  const descriptors = [...parts.descriptors];
  const add = async (mediaType: string, any: Any, ref: string): Promise<void> => {
    descriptors.push(await writeBlob(ctx, content, mediaType, ref, one(toBinary(AnySchema, any))));
  };
  await add(checkpointMediaTypes.options, parts.options, `${own}-checkpoint-options`);
  const runtimeOptions = container.runtime?.options;
  if (runtimeOptions !== undefined && runtimeOptions.value.length > 0) {
    await add(checkpointMediaTypes.runtimeOptions, runtimeOptions, `${own}-runtime-options`);
  }
  const index = JSON.stringify({
    schemaVersion: 2,
    manifests: descriptors.map(({ mediaType, digest, size }) => ({
      mediaType,
      digest,
      size: Number(size),
      platform: { architecture: goArchitecture(), os: "linux" },
    })),
    annotations: annotationsOf(container, name, createdAt),
  });
  const labels = new Map(descriptors.map(({ digest }, at) => [`containerd.io/gc.ref.content.${at}`, digest]));
  labels.set(rootLabel, createdAt.toString()).set(checkpointLabel, `${container.id}/${name}`);
  return writeBlob(ctx, content, checkpointMediaTypes.index, `${own}index`, one(Buffer.from(index)), labels);
}

/** Removes an index and its images. Its configuration may be that of other checkpoints too: collection decides on it. */
export async function removeIndex(ctx: Ctx, content: ContentStore, digest: Digest): Promise<void> {
  await ignoreMissing(async () => {
    const { manifests = [] } = await readIndex(ctx, content, digest);
    const images = manifests.filter((manifest) => manifest?.mediaType === checkpointMediaTypes.image);
    for (const image of images) {
      if (typeof image?.digest !== "string") continue;
      const imageDigest = parseDigest(image.digest);
      await ignoreMissing(() => content.delete(ctx, imageDigest));
    }
  });
  await ignoreMissing(() => content.delete(ctx, digest));
}

/** Does what may have been done already. */
export async function ignoreMissing(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}

function annotationsOf(container: Container, name: string, createdAt: Instant): Record<string, string> {
  return {
    "io.containerd.checkpoint.runtime": container.runtime?.name ?? "",
    "io.containerd.checkpoint.snapshotter": container.snapshotter,
    "io.lighter.checkpoint.container": container.id,
    "io.lighter.checkpoint.name": name,
    "org.opencontainers.image.created": createdAt.toString(),
    "org.opencontainers.image.ref.name": container.image,
  };
}

function goArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}
