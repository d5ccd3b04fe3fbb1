import type { Ctx } from "../../lib/ctx.ts";
import { isFault, messageOf, quote, wrapFault } from "../../lib/faults.ts";
import type { ContentStore, ContentWriter } from "../content/index.ts";
import type { BlobRequest, BlobSink, WrittenBlob } from "../oci/index.ts";

/** Pieces are gathered up to this size, as each one written costs a call. */
const blockBytes = 1 << 20;

/**
 * Opens the content store for one blob of an archive.
 * Errors: every failure names the member.
 * Effects: a blob that is there already is passed over.
 */
export async function openContentSink(ctx: Ctx, content: ContentStore, request: BlobRequest): Promise<BlobSink> {
  const { name, expected, sizeBytes } = request;
  try {
    const ref = `import-${crypto.randomUUID()}`;
    const writer = await content.writer(ctx, {
      ref,
      total: sizeBytes,
      ...(expected === undefined ? {} : { expected }),
    });
    return new ContentSink(ctx, content, writer, request);
  } catch (error) {
    if (expected === undefined || !isFault(error, "alreadyExists")) throw ingestFault(name, error);
    const there = { digest: expected, sizeBytes: content.info(ctx, expected).sizeBytes };
    return { write: async () => {}, commit: async () => there, abort: async () => {} };
  }
}

class ContentSink implements BlobSink {
  readonly #ctx: Ctx;
  readonly #content: ContentStore;
  readonly #writer: ContentWriter;
  readonly #request: BlobRequest;
  readonly #ref: string;
  #block: Buffer | undefined;
  #used = 0;
  /** What the store has of it though this namespace did not know: the archive's own is passed over. */
  #skip: number;

  constructor(ctx: Ctx, content: ContentStore, writer: ContentWriter, request: BlobRequest) {
    this.#ctx = ctx;
    this.#content = content;
    this.#writer = writer;
    this.#request = request;
    const { ref, offset } = writer.status();
    this.#ref = ref;
    this.#skip = offset;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    for (let at = skipped; at < bytes.length; ) {
      this.#block ??= Buffer.allocUnsafeSlow(Math.min(blockBytes, Math.max(this.#request.sizeBytes, 1)));
      const count = Math.min(this.#block.length - this.#used, bytes.length - at);
      this.#block.set(bytes.subarray(at, at + count), this.#used);
      this.#used += count;
      at += count;
      if (this.#used === this.#block.length) await this.#flush();
    }
  }

  async commit(): Promise<WrittenBlob> {
    const { name, expected } = this.#request;
    let digest: WrittenBlob["digest"] | undefined;
    let sizeBytes = 0;
    try {
      await this.#flush();
      ({ offset: sizeBytes } = this.#writer.status());
      digest = this.#writer.digest();
      await this.#writer.commit(this.#ctx, { sizeBytes, expected: expected ?? digest });
      return { digest: expected ?? digest, sizeBytes };
    } catch (error) {
      if (digest !== undefined && isFault(error, "alreadyExists")) return { digest: expected ?? digest, sizeBytes };
      await this.abort();
      throw ingestFault(name, error);
    }
  }

  async abort(): Promise<void> {
    try {
      await this.#writer[Symbol.asyncDispose]();
      await this.#content.abort(this.#ctx, this.#ref);
    } catch (error) {
      if (!isFault(error, "notFound")) {
        this.#ctx.log.warn("an unfinished import is left to expire", { ref: this.#ref, error: messageOf(error) });
      }
    }
  }

  async #flush(): Promise<void> {
    if (this.#block === undefined || this.#used === 0) return;
    const piece = this.#block.subarray(0, this.#used);
    this.#used = 0;
    await this.#writer.write(piece);
  }
}

function ingestFault(name: string, error: unknown): Error {
  return wrapFault(`failed to ingest ${quote(name)}`, error);
}
