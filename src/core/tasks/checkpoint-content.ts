import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { type Descriptor, DescriptorSchema } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { type Digest, parseDigest } from "../../lib/digest.ts";
import { FaultError, isFault, messageOf, notFound, quote, wrapFault } from "../../lib/faults.ts";
import type { ContentStore } from "../content/index.ts";
import { packFolder, unpackInto } from "./image-archive.ts";

/** Media types of checkpoints. Source: containerd core/images/mediatypes.go. */
export const checkpointMediaTypes = {
  image: "application/vnd.containerd.container.criu.checkpoint.criu.tar",
  config: "application/vnd.containerd.container.checkpoint.config.v1+proto",
  options: "application/vnd.containerd.container.checkpoint.options.v1+proto",
  runtimeOptions: "application/vnd.containerd.container.checkpoint.runtime.options+proto",
  index: "application/vnd.oci.image.index.v1+json",
} as const;

/** An index of manifests as large as this is nobody's checkpoint. Source: containerd core/content/helpers.go, maxSize of a manifest. */
const indexMaxBytes = 8 << 20;

/** Writes a folder of CRIU's images, and the container's spec, to the content store. */
export async function storeCheckpoint(
  ctx: Ctx,
  content: ContentStore,
  folder: string,
  spec: Any | undefined,
): Promise<Descriptor[]> {
  const image = await writeBlob(ctx, content, checkpointMediaTypes.image, folder, packFolder(folder));
  const bytes = toBinary(AnySchema, spec ?? create(AnySchema));
  const config = await writeBlob(ctx, content, checkpointMediaTypes.config, `${folder}/spec`, one(bytes));
  return [image, config];
}

/** Unpacks the CRIU images behind a descriptor: of the images themselves, or of an index that names them. */
export async function restoreCheckpoint(
  ctx: Ctx,
  content: ContentStore,
  descriptor: Descriptor,
  folder: string,
): Promise<void> {
  const digest = await imageDigest(ctx, content, descriptor);
  try {
    await unpackInto(folder, content.read(ctx, digest));
  } catch (error) {
    throw wrapFault(`unpack checkpoint ${digest}`, error);
  }
}

/** Writes bytes to the content store under a reference that nobody else uses; the same bytes may be there already. */
export async function writeBlob(
  ctx: Ctx,
  content: ContentStore,
  mediaType: string,
  ref: string,
  chunks: AsyncIterable<Uint8Array>,
  labels?: ReadonlyMap<string, string>,
): Promise<Descriptor> {
  await using writer = await content.writer(ctx, { ref });
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    await writer.write(chunk);
    sizeBytes += chunk.length;
  }
  const digest = writer.digest();
  try {
    await writer.commit(ctx, { sizeBytes, ...(labels === undefined ? {} : { labels }) });
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw error;
  }
  return create(DescriptorSchema, { mediaType, digest, size: BigInt(sizeBytes) });
}

/** These bytes as a stream of one piece. */
export async function* one(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

async function imageDigest(ctx: Ctx, content: ContentStore, descriptor: Descriptor): Promise<Digest> {
  if (descriptor.mediaType === checkpointMediaTypes.image) return parseDigest(descriptor.digest);
  if (descriptor.mediaType !== checkpointMediaTypes.index) {
    throw new FaultError("unknown", `unsupported checkpoint type ${quote(descriptor.mediaType)}`);
  }
  const index = await readIndex(ctx, content, parseDigest(descriptor.digest));
  const found = index.manifests?.find((manifest) => manifest?.mediaType === checkpointMediaTypes.image);
  if (typeof found?.digest !== "string") throw notFound(`checkpoint image in index ${descriptor.digest}`);
  return parseDigest(found.digest);
}

interface LooseIndex {
  readonly manifests?: readonly ({ readonly mediaType?: unknown; readonly digest?: unknown } | undefined)[];
}

/** An index from the content store, of which nothing is certain but that it is a JSON object. */
export async function readIndex(ctx: Ctx, content: ContentStore, digest: Digest): Promise<LooseIndex> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of content.read(ctx, digest)) {
    sizeBytes += chunk.length;
    if (sizeBytes > indexMaxBytes) throw new FaultError("invalidArgument", `checkpoint index ${digest} is too large`);
    parts.push(chunk);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.concat(parts).toString());
  } catch (error) {
    throw new FaultError("invalidArgument", `decode checkpoint index ${digest}: ${messageOf(error)}`, { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null) {
    throw new FaultError("invalidArgument", `decode checkpoint index ${digest}: not an object`);
  }
  return Array.isArray((parsed as LooseIndex).manifests) ? (parsed as LooseIndex) : {};
}
