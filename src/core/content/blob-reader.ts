import { constants } from "node:fs";
import { type Ctx, throwIfAborted } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { fault } from "../../lib/faults.ts";
import { closeFile, isMissing, openFile, readOnce } from "./blob-files.ts";

/** How much of a blob one message carries. Source: containerd contentserver.go, bufPool. */
export const chunkBytes: number = 1 << 20;

/**
 * Reads a stretch of a blob in chunks, the next one while its reader is busy with the last.
 * Errors: dataLoss (the file is gone or shorter than its row says), what the context's signal says.
 */
export async function* readBlob(
  path: string,
  digest: Digest,
  offset: number,
  length: number,
  ctx: Ctx,
): AsyncGenerator<Uint8Array> {
  if (length === 0) return;
  const fd = await openFile(path, constants.O_RDONLY).catch((error: unknown) => {
    if (isMissing(error)) throw fault("dataLoss", `blob ${digest} expected at ${path}`, { cause: error });
    throw error;
  });
  let ahead: Promise<Uint8Array> | undefined;
  try {
    let at = offset;
    const end = offset + length;
    ahead = readChunk(fd, digest, at, end);
    while (ahead !== undefined) {
      const chunk = await ahead;
      if (ctx.aborted) throwIfAborted(ctx.signal);
      at += chunk.length;
      ahead = at < end ? readChunk(fd, digest, at, end) : undefined;
      yield chunk;
    }
  } finally {
    // The descriptor must outlive a read that is under way; how it ends is of no interest any more.
    await ahead?.catch(() => undefined);
    await closeFile(fd);
  }
}

async function readChunk(fd: number, digest: Digest, at: number, end: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, end - at));
  let done = 0;
  while (done < buffer.length) {
    const count = await readOnce(fd, done === 0 ? buffer : buffer.subarray(done), at + done);
    if (count === 0) throw fault("dataLoss", `blob ${digest} ends at ${at + done} bytes`);
    done += count;
  }
  return buffer;
}
