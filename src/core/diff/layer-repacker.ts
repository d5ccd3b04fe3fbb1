import { closeSync, openSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { type Digest, parseDigest } from "../../lib/digest.ts";
import { fault, invalidArgument, isFault, messageOf, quote } from "../../lib/faults.ts";
import { createSlots } from "../../lib/slots.ts";
import { type DiffCompression, spawnWorker } from "../../workers/index.ts";
import type { ContentStore, ContentWriter } from "../content/index.ts";
import type { LayerDescriptor } from "./differ.ts";

export interface RepackOptions {
  readonly mediaType: string;
  /** What the unpacked bytes must be. */
  readonly diffId: Digest | undefined;
  /** Told from time to time how many bytes of the layer were read. */
  readonly onOffset: (offset: number) => void;
}

/** Writes layers anew, packed otherwise, in short-lived processes. */
export interface LayerRepacker {
  /**
   * Errors: notFound (no such content), invalidArgument (not packed as its type says, or a type that is no layer's), dataLoss
   * (the unpacked bytes are other ones than they must be), canceled.
   * Effects: the new layer is the lease's of the context, where it has one; what fails leaves nothing.
   */
  repack(ctx: Ctx, layer: LayerDescriptor, options: RepackOptions): Promise<LayerDescriptor>;
}

const tickMs = 200;
const uncompressedLabel = "containerd.io/uncompressed";

export function createLayerRepacker({ content }: { readonly content: ContentStore }): LayerRepacker {
  const slots = createSlots(Math.max(2, availableParallelism()));
  return {
    repack: async (ctx, layer, options) => {
      const packing = { from: packingOf(layer.mediaType), to: packingOf(options.mediaType) };
      using _slot = await slots.take(ctx.signal);
      await using blob = await content.file(ctx, layer.digest);
      using file = openLayer(blob.path);
      using _ticks = ticks(file.fd, options.onOffset);
      return await write(ctx, content, layer, packing, file.fd, options);
    },
  };
}

interface Packing {
  readonly from: DiffCompression;
  readonly to: DiffCompression;
}

async function write(
  ctx: Ctx,
  content: ContentStore,
  layer: LayerDescriptor,
  packing: Packing,
  file: number,
  { mediaType, diffId }: RepackOptions,
): Promise<LayerDescriptor> {
  const ref = `repack-${crypto.randomUUID()}`;
  let committed = false;
  try {
    await using writer = await content.writer(ctx, { ref, mediaType });
    const output = (bytes: Uint8Array): Promise<void> => writer.write(bytes);
    const found = await unpackedDigest(layer, () =>
      // The program's own files may be another user's.
      spawnWorker("repack", packing, { signal: ctx.signal, file, output, rights: ["dacOverride"] }),
    );
    if (diffId !== undefined && found !== diffId) {
      throw fault("dataLoss", `layer ${layer.digest} unpacks to ${found}, not to ${diffId}`);
    }
    const digest = await commit(ctx, content, writer, new Map([[uncompressedLabel, found]]));
    committed = true;
    return { mediaType, digest, sizeBytes: content.info(ctx, digest).sizeBytes };
  } finally {
    if (!committed) await abandon(ctx, content, ref);
  }
}

async function unpackedDigest(
  { digest }: LayerDescriptor,
  work: () => Promise<{ readonly digest: string }>,
): Promise<Digest> {
  try {
    return parseDigest((await work()).digest);
  } catch (error) {
    if (!isFault(error, "invalidArgument")) throw error;
    throw invalidArgument(`layer ${digest} is not packed as its type says: ${messageOf(error)}`, { cause: error });
  }
}

/** Content that is there already only gets its label. */
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
    if (!isFault(error, "alreadyExists")) throw error;
  }
  await content.update(ctx, { digest, labels }, [`labels.${uncompressedLabel}`]);
  return digest;
}

/** Under a signal of its own: the caller's may have fired. */
async function abandon({ namespace, lease, log }: Ctx, content: ContentStore, ref: string): Promise<void> {
  try {
    await content.abort(createCtx({ namespace, lease }), ref);
  } catch (error) {
    if (!isFault(error, "notFound")) log.warn("failed to delete what was repacked", { ref, error });
  }
}

/** How a layer of that type is packed. Errors: invalidArgument (no layer of files). */
function packingOf(mediaType: string): DiffCompression {
  if (/\.(?:layer|diff)\b/.test(mediaType)) {
    if (/[.+]gzip$/.test(mediaType)) return "gzip";
    if (/[.+]zstd$/.test(mediaType)) return "zstd";
    if (mediaType.endsWith(".tar")) return "none";
  }
  throw invalidArgument(`media type ${quote(mediaType)} is no layer's`);
}

function openLayer(path: string): Disposable & { readonly fd: number } {
  const fd = openSync(path, "r");
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

/** The worker reads from where the descriptor stands, which both share: that tells how far it is. Source: proc_pid_fdinfo(5). */
function ticks(fd: number, onOffset: (offset: number) => void): Disposable {
  const timer = setInterval(() => {
    const position = /^pos:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
    if (position !== undefined) onOffset(Number(position));
  }, tickMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
