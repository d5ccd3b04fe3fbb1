import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import { algorithmOf } from "../../../lib/digest.ts";
import { fault, isFault, messageOf, wrapFault } from "../../../lib/faults.ts";
import { pause } from "../../../lib/pause.ts";
import type { ContentStore, ContentWriter } from "../../content/index.ts";
import { makeRefKey } from "../ref-key.ts";
import type { FetchIntoOptions } from "../remotes.ts";

/** Where the bytes come from. */
export interface DownloadSource {
  /** The reference, for errors. */
  readonly text: string;
  fetch(ctx: Ctx, offset: number): AsyncIterable<Uint8Array>;
  /** The bytes that came were not the right ones: true when asking again may bring others. */
  disowned(): boolean;
}

/** How long to wait for whoever writes the same content. Source: containerd core/content/helpers.go, OpenWriter. */
const firstLockWaitMs = 16;
const longestLockWaitMs = 2048;

/**
 * Brings a descriptor's content into the store.
 * Shape: false when it was there already.
 * Source: containerd core/remotes/handlers.go, Fetch.
 */
export async function downloadContent(
  ctx: Ctx,
  descriptor: Descriptor,
  store: ContentStore,
  source: DownloadSource,
  options: FetchIntoOptions,
): Promise<boolean> {
  const ref = options.ref ?? makeRefKey(descriptor);
  const opened = await openWriter(ctx, store, ref, descriptor);
  if (opened === undefined) return false;
  await using writer = opened;
  if (descriptor.sizeBytes === 0) {
    const message = `unable to fetch descriptor (${descriptor.digest}) which reports content size of zero`;
    throw fault("invalidArgument", message);
  }
  if (writer.status().offset > descriptor.sizeBytes) await writer.truncate();
  await fill(ctx, descriptor, writer, source, options);
  const { digest: expected, sizeBytes } = descriptor;
  try {
    await writer.commit(ctx, {
      sizeBytes,
      expected,
      ...(options.labels === undefined ? {} : { labels: options.labels }),
    });
    return true;
  } catch (error) {
    if (isFault(error, "alreadyExists")) return false;
    throw wrapFault(`failed commit on ref ${JSON.stringify(ref)}`, error);
  }
}

/** Writes what is missing; what turns out to be wrong is thrown away, and fetched once more where that may help. */
async function fill(
  ctx: Ctx,
  descriptor: Descriptor,
  writer: ContentWriter,
  source: DownloadSource,
  options: FetchIntoOptions,
): Promise<void> {
  const { digest, sizeBytes, data } = descriptor;
  for (;;) {
    let { offset } = writer.status();
    const resumed = offset > 0;
    options.onOpen?.(offset, writer.file());
    options.onProgress?.(offset, sizeBytes);
    if (offset < sizeBytes) {
      const inline = data?.length === sizeBytes ? [data.slice(offset)] : undefined;
      for await (const bytes of inline ?? source.fetch(ctx, offset)) {
        offset += bytes.length;
        await writer.write(bytes);
        release(bytes);
        options.onGrown?.(offset);
        options.onProgress?.(offset, sizeBytes);
      }
    }
    const actual = writer.digest();
    if (actual === digest || algorithmOf(digest) !== algorithmOf(actual)) return;
    await writer.truncate();
    // What an earlier run left may be what is wrong; if not, another host may have it right.
    if (!source.disowned() && !resumed) {
      throw fault(
        "dataLoss",
        `${source.text}: ${digest}: what was sent has the digest ${actual}: the registry's copy is damaged`,
      );
    }
    ctx.log.warn("content has the wrong digest, fetching it anew", { digest, actual });
  }
}

/**
 * Gives the memory of bytes that are done with back at once: left to the garbage collector, they would pile up to some tens
 * of megabytes before it finds them worth its while.
 */
function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) buffer.transfer(0);
}

async function openWriter(
  ctx: Ctx,
  store: ContentStore,
  ref: string,
  { digest, sizeBytes }: Descriptor,
): Promise<ContentWriter | undefined> {
  for (let wait = firstLockWaitMs; ; wait = Math.min(wait * 2, longestLockWaitMs)) {
    try {
      return await store.writer(ctx, { ref, total: sizeBytes, expected: digest });
    } catch (error) {
      if (isFault(error, "alreadyExists")) return undefined;
      if (!isFault(error, "unavailable")) throw error;
      ctx.log.debug("waiting for another writer", { ref, error: messageOf(error) });
      await pause(wait * (0.5 + Math.random() / 2), ctx.signal);
    }
  }
}
