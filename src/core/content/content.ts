import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { fault } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";

export type { Digest } from "../../lib/digest.ts";

export interface ContentInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly labels: ReadonlyMap<string, string>;
}

/** Unfinished content. */
export interface IngestStatus {
  readonly ref: string;
  readonly offset: number;
  readonly total: number;
  readonly expected: Digest | undefined;
  readonly startedAt: Instant;
  readonly updatedAt: Instant;
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

/** A blob's bytes as a file, which stays until this is disposed of. It is the store's, and not to be changed. */
export interface BlobFile extends AsyncDisposable {
  readonly path: string;
}

type Awaitable<T> = T | Promise<T>;

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
  /** The blob as a file, for workers that read it themselves. Errors: notFound. */
  file(ctx: Ctx, digest: Digest): Promise<BlobFile>;
  status(ctx: Ctx, ref: string): Awaitable<IngestStatus>;
  listStatuses(ctx: Ctx, filters: readonly string[]): Awaitable<readonly IngestStatus[]>;
  abort(ctx: Ctx, ref: string): Promise<void>;
  /** Errors: alreadyExists (expected is there), unavailable (the ref is locked). */
  writer(ctx: Ctx, options: WriterOptions): Promise<ContentWriter>;
}

/**
 * The one store of those that started.
 * Errors: failedPrecondition (there are several), notFound (there is none).
 * Source: containerd plugin/context.go, GetSingle.
 */
export function onlyContent(stores: ReadonlyMap<string, ContentStore>): ContentStore {
  const [only, second] = stores.values();
  if (only === undefined) throw fault("notFound", "no plugins registered for io.containerd.content.v1");
  if (second === undefined) return only;
  const names = [...stores.keys()].join(", ");
  const hint = 'leave one in use, e.g. with disabled_plugins = ["io.containerd.content.v1.content"]';
  throw fault("failedPrecondition", `multiple plugins registered for io.containerd.content.v1 (${names}): ${hint}`);
}
