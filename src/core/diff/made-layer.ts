import { type Ctx, createCtx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { isFault, messageOf, wrapFault } from "../../lib/faults.ts";
import type { ContentStore, ContentWriter } from "../content/index.ts";
import type { LayerDescriptor } from "./differ.ts";

export const uncompressedLabel = "containerd.io/uncompressed";

/** A layer that is to be made by a worker. */
export interface LayerMaking {
  /** The caller's own; without one, a failure leaves nothing. */
  readonly ref: string | undefined;
  readonly mediaType: string;
  /** Writes it, and answers the digest of what it unpacks to. */
  readonly make: (output: (bytes: Uint8Array) => Promise<void>) => Promise<Digest>;
  readonly labels: (diffId: Digest) => ReadonlyMap<string, string>;
}

/**
 * Writes a layer into the content store. Content that is there already, perhaps of another layer, only gets its label.
 * Errors: those of `make`, and of a commit.
 */
export async function makeLayer(ctx: Ctx, content: ContentStore, making: LayerMaking): Promise<LayerDescriptor> {
  const { mediaType, make } = making;
  const ref = making.ref ?? `layer-${crypto.randomUUID()}`;
  let committed = false;
  try {
    await using writer = await content.writer(ctx, { ref, mediaType });
    if (writer.status().offset > 0) await writer.truncate();
    const diffId = await make((bytes) => writer.write(bytes));
    const digest = await commit(ctx, content, writer, making.labels(diffId));
    committed = true;
    return { mediaType, digest, sizeBytes: content.info(ctx, digest).sizeBytes };
  } finally {
    if (!committed && making.ref === undefined) await abandon(ctx, content, ref);
  }
}

async function commit(
  ctx: Ctx,
  content: ContentStore,
  writer: ContentWriter,
  labels: ReadonlyMap<string, string>,
): Promise<Digest> {
  const digest = writer.digest();
  try {
    return await writer.commit(ctx, { labels });
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw wrapFault("failed to commit", error);
  }
  if (labels.has(uncompressedLabel) && !content.info(ctx, digest).labels.has(uncompressedLabel)) {
    await content.update(ctx, { digest, labels }, [`labels.${uncompressedLabel}`]);
  }
  return digest;
}

/** Under a signal of its own: the caller's may have fired. */
async function abandon({ namespace, lease, log }: Ctx, content: ContentStore, ref: string): Promise<void> {
  try {
    await content.abort(createCtx({ namespace, lease }), ref);
  } catch (error) {
    if (!isFault(error, "notFound"))
      log.warn("failed to delete a layer that was not made", { ref, error: messageOf(error) });
  }
}
