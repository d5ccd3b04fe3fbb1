import { type Ctx, throwIfAborted } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { fault } from "../../lib/faults.ts";
import type { Kernel } from "../../sys/index.ts";
import { isMissing, readOnce } from "./blob-files.ts";
import type { ChunkMemory } from "./chunk-memory.ts";
import type { OpenBlob, OpenBlobs } from "./open-blobs.ts";

/** How much of a blob one message carries. Source: containerd contentserver.go, bufPool. */
export const chunkBytes: number = 1 << 20;
/** What memory holds and is no more than this is copied from it on the loop: a thread of the pool would take longer. */
const cachedBytes = 128 * 1024;

export interface BlobSource {
  readonly blobs: OpenBlobs;
  readonly kernel: Pick<Kernel, "readCached">;
}

/** A stretch of a blob. */
export interface BlobStretch {
  readonly path: string;
  readonly digest: Digest;
  readonly from: number;
  readonly to: number;
}

/**
 * Reads a stretch of a blob in chunks, the next one while its reader is busy with the last.
 * Errors: dataLoss (the file is gone or shorter than its row says), what the context's signal says.
 */
export async function* readBlob(
  ctx: Ctx,
  source: BlobSource,
  stretch: BlobStretch,
  memory: ChunkMemory,
): AsyncGenerator<Uint8Array> {
  const { digest, from, to, path } = stretch;
  if (from === to) return;
  using blob = source.blobs.opened(path) ?? (await openBlob(source.blobs, path, digest));
  const read = (at: number): Uint8Array | Promise<Uint8Array> => {
    const chunk = memory.take(Math.min(chunkBytes, to - at));
    const done = chunk.length <= cachedBytes ? (source.kernel.readCached(blob.fd, chunk, at) ?? 0) : 0;
    return done === chunk.length ? chunk : readChunk(blob.fd, digest, at, chunk, done);
  };
  let ahead: Uint8Array | Promise<Uint8Array> | undefined;
  try {
    let at = from;
    ahead = read(at);
    while (ahead !== undefined) {
      const chunk: Uint8Array = ahead instanceof Uint8Array ? ahead : await ahead;
      if (ctx.aborted) throwIfAborted(ctx.signal);
      at += chunk.length;
      ahead = at < to ? read(at) : undefined;
      yield chunk;
    }
  } finally {
    // The descriptor must outlive a read that is under way; how it ends is of no interest any more.
    if (ahead instanceof Promise) await ahead.catch(() => undefined);
  }
  // Not where the reader left early: what it had may still be on its way.
  memory.done();
}

async function openBlob(blobs: OpenBlobs, path: string, digest: Digest): Promise<OpenBlob> {
  try {
    return await blobs.open(path);
  } catch (error) {
    if (isMissing(error)) throw fault("dataLoss", `blob ${digest} expected at ${path}`, { cause: error });
    throw error;
  }
}

async function readChunk(fd: number, digest: Digest, at: number, chunk: Uint8Array, have: number): Promise<Uint8Array> {
  let done = have;
  while (done < chunk.length) {
    const count = await readOnce(fd, done === 0 ? chunk : chunk.subarray(done), at + done);
    if (count === 0) throw fault("dataLoss", `blob ${digest} ends at ${at + done} bytes`);
    done += count;
  }
  return chunk;
}
