import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";

export type { Digest } from "../../lib/digest.ts";

export interface ContentInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly labels: ReadonlyMap<string, string>;
}

/** Unfinished content. */
export interface IngestStatus {
  readonly ref: string;
  readonly offset: number;
  readonly total: number;
  readonly expected: Digest | undefined;
  readonly startedAt: Date;
  readonly updatedAt: Date;
}

export interface WriterOptions {
  readonly ref: string;
  readonly total?: number | undefined;
  readonly expected?: Digest | undefined;
  /** What the content is, for its event; clients cannot say it, those inside can. */
  readonly mediaType?: string | undefined;
}

/** The one writer of an ingest; holds the ref's lock until disposed. Disposing without commit keeps the ingest. */
export interface ContentWriter extends AsyncDisposable {
  status(): IngestStatus;
  /** The digest of everything written so far. */
  digest(): Digest;
  /** The file that the bytes lie in until they are committed; undefined while they are a blob that is there already. */
  file(): string | undefined;
  write(bytes: Uint8Array): Promise<void>;
  truncate(): Promise<void>;
  /** Errors: failedPrecondition (size or digest differ), alreadyExists. Effects: durable; event /content/create. */
  commit(
    ctx: Ctx,
    options: { sizeBytes?: number; expected?: Digest; labels?: ReadonlyMap<string, string> },
  ): Promise<Digest>;
}

/** The content of every namespace; each call acts in the context's namespace. */
export interface ContentStore {
  info(ctx: Ctx, digest: Digest): ContentInfo;
  list(ctx: Ctx, filters: readonly string[]): readonly ContentInfo[];
  update(
    ctx: Ctx,
    info: { digest: Digest; labels: ReadonlyMap<string, string> },
    paths: readonly string[],
  ): Promise<ContentInfo>;
  delete(ctx: Ctx, digest: Digest): Promise<void>;
  /** Reads [offset, offset + length) in chunks; to the end when length is left out. Errors: notFound, outOfRange. */
  read(ctx: Ctx, digest: Digest, offset?: number, length?: number): AsyncIterable<Uint8Array>;
  /** As `read`, but each chunk is the reader's only until it asks for the next. */
  lend(ctx: Ctx, digest: Digest, offset?: number, length?: number): AsyncIterable<Uint8Array>;
  /** The blob's file, for workers that read it themselves. Errors: notFound. */
  blobPath(ctx: Ctx, digest: Digest): string;
  status(ctx: Ctx, ref: string): IngestStatus;
  listStatuses(ctx: Ctx, filters: readonly string[]): readonly IngestStatus[];
  abort(ctx: Ctx, ref: string): Promise<void>;
  /** Errors: alreadyExists (expected is there), unavailable (the ref is locked). */
  writer(ctx: Ctx, options: WriterOptions): Promise<ContentWriter>;
}
