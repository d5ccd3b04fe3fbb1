import { closeSync, openSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Ctx } from "../../lib/ctx.ts";
import { type Digest, parseDigest } from "../../lib/digest.ts";
import { fault, invalidArgument, isFault, messageOf, quote } from "../../lib/faults.ts";
import { createSlots } from "../../lib/slots.ts";
import { type DiffCompression, spawnWorker } from "../../workers/index.ts";
import type { ContentStore } from "../content/index.ts";
import type { LayerDescriptor } from "./differ.ts";
import { makeLayer, uncompressedLabel } from "./made-layer.ts";

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

export function createLayerRepacker({ content }: { readonly content: ContentStore }): LayerRepacker {
  const slots = createSlots(Math.max(2, availableParallelism()));
  return {
    repack: async (ctx, layer, options) => {
      const packing = { from: packingOf(layer.mediaType), to: packingOf(options.mediaType) };
      using _slot = await slots.take(ctx.signal);
      await using blob = await content.file(ctx, layer.digest);
      using file = openLayer(blob.path);
      using _ticks = ticks(file.fd, options.onOffset);
      return await makeLayer(ctx, content, {
        ref: undefined,
        mediaType: options.mediaType,
        make: (output) => repackLayer(ctx, layer, packing, { file: file.fd, output, diffId: options.diffId }),
        labels: (diffId) => new Map([[uncompressedLabel, diffId]]),
      });
    },
  };
}

interface Packing {
  readonly from: DiffCompression;
  readonly to: DiffCompression;
}

interface Repacking extends Pick<RepackOptions, "diffId"> {
  readonly file: number;
  readonly output: (bytes: Uint8Array) => Promise<void>;
}

async function repackLayer(
  ctx: Ctx,
  { digest }: LayerDescriptor,
  packing: Packing,
  { file, output, diffId }: Repacking,
): Promise<Digest> {
  // The program's own files may be another user's.
  const options = { signal: ctx.signal, file, output, rights: ["dacOverride"] } as const;
  const made = await spawnWorker("repack", packing, options).catch((error: unknown) => {
    if (!isFault(error, "invalidArgument")) throw error;
    throw invalidArgument(`layer ${digest} is not packed as its type says: ${messageOf(error)}`, { cause: error });
  });
  const found = parseDigest(made.digest);
  if (diffId === undefined || found === diffId) return found;
  throw fault("dataLoss", `layer ${digest} unpacks to ${found}, not to ${diffId}`);
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
