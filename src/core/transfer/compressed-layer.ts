import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { isFault } from "../../lib/faults.ts";
import type { ContentStore } from "../content/index.ts";
import type { WrittenBlob } from "../oci/index.ts";

const uncompressedLabel = "containerd.io/uncompressed";

/** Writes a layer compressed beside the one that is in the store plain. Effects: compression runs on the runtime's pool. */
export async function gzippedLayer(ctx: Ctx, content: ContentStore, plain: Digest): Promise<WrittenBlob> {
  await using writer = await content.writer(ctx, {
    ref: `compress-blob-${plain.replace(":", "-")}-${crypto.randomUUID()}`,
  });
  // Loaded here: the runtime's streams are large, and no start needs them.
  const [{ Readable }, { createGzip }] = await Promise.all([import("node:stream"), import("node:zlib")]);
  const zipped = Readable.from(content.read(ctx, plain)).pipe(createGzip({ chunkSize: 1 << 18 }));
  for await (const piece of zipped) await writer.write(piece as Uint8Array);
  const digest = writer.digest();
  const sizeBytes = writer.status().offset;
  try {
    await writer.commit(ctx, { sizeBytes, expected: digest, labels: new Map([[uncompressedLabel, plain]]) });
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw error;
  }
  return { digest, sizeBytes };
}
