import { constants } from "node:fs";
import { type Ctx, throwIfAborted } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { fault } from "../../lib/faults.ts";
import { closeFile, isMissing, openFile, readOnce } from "./blob-files.ts";

/** How much of a blob one message carries. Source: containerd contentserver.go, bufPool. */
export const chunkBytes: number = 1 << 20;

/** Where chunks are read to. */
export type ChunkMemory = (sizeBytes: number) => Uint8Array;

/** Chunks are the taker's for good. */
export const freshMemory: ChunkMemory = (sizeBytes) => Buffer.allocUnsafeSlow(sizeBytes);

/** Two pieces of memory in turn: one that its taker has, one that is read to meanwhile. New memory costs as much as reading. */
export function turnByTurn(): ChunkMemory {
  const pieces: [Buffer | undefined, Buffer | undefined] = [undefined, undefined];
  let turn: 0 | 1 = 0;
  return (sizeBytes) => {
    turn = turn === 0 ? 1 : 0;
    let piece = pieces[turn];
    // Only the last chunk is shorter than others.
    if (piece === undefined || piece.length < sizeBytes) piece = Buffer.allocUnsafeSlow(sizeBytes);
    pieces[turn] = piece;
    return piece.subarray(0, sizeBytes);
  };
}

/**
 * Reads [from, to) of a blob in chunks, the next one while its reader is busy with the last.
 * Errors: dataLoss (the file is gone or shorter than its row says), what the context's signal says.
 */
export async function* readBlob(
  path: string,
  digest: Digest,
  { from, to }: { readonly from: number; readonly to: number },
  ctx: Ctx,
  memory: ChunkMemory,
): AsyncGenerator<Uint8Array> {
  if (from === to) return;
  const fd = await openFile(path, constants.O_RDONLY).catch((error: unknown) => {
    if (isMissing(error)) throw fault("dataLoss", `blob ${digest} expected at ${path}`, { cause: error });
    throw error;
  });
  let ahead: Promise<Uint8Array> | undefined;
  const read = (at: number): Promise<Uint8Array> => readChunk(fd, digest, at, memory(Math.min(chunkBytes, to - at)));
  try {
    let at = from;
    ahead = read(at);
    while (ahead !== undefined) {
      const chunk = await ahead;
      if (ctx.aborted) throwIfAborted(ctx.signal);
      at += chunk.length;
      ahead = at < to ? read(at) : undefined;
      yield chunk;
    }
  } finally {
    // The descriptor must outlive a read that is under way; how it ends is of no interest any more.
    await ahead?.catch(() => undefined);
    await closeFile(fd);
  }
}

async function readChunk(fd: number, digest: Digest, at: number, chunk: Uint8Array): Promise<Uint8Array> {
  let done = 0;
  while (done < chunk.length) {
    const count = await readOnce(fd, done === 0 ? chunk : chunk.subarray(done), at + done);
    if (count === 0) throw fault("dataLoss", `blob ${digest} ends at ${at + done} bytes`);
    done += count;
  }
  return chunk;
}
