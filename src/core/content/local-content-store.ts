import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { fault, invalidArgument, messageOf, notFound, quote } from "../../lib/faults.ts";
import { parseFilters } from "../../lib/filters.ts";
import type { Logger } from "../../lib/log.ts";
import { createKernel } from "../../sys/index.ts";
import type { Collectable } from "../gc/index.ts";
import type { Transaction } from "../metadata/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { CheckCounts, CheckOptions } from "../system/index.ts";
import { type ContentLayout, relativeBlob, relativeIngest } from "./blob-files.ts";
import { type BlobSource, type BlobStretch, readBlob } from "./blob-reader.ts";
import { ChunkPool, freshMemory } from "./chunk-memory.ts";
import { collectableContent } from "./collectable-content.ts";
import type { BlobFile, ContentStore, ContentWriter, IngestStatus, WriterOptions } from "./content.ts";
import { checkContent } from "./content-check.ts";
import { ingestFields } from "./content-fields.ts";
import { type IngestTarget, IngestWriter } from "./content-writer.ts";
import { catchUp, createIngest, type Ingest, openData, statusOf } from "./ingest-files.ts";
import { type BegunWrite, NamedContent, type NamedContentOptions } from "./named-content.ts";
import type { SharedTarget } from "./named-writer.ts";
import { OpenBlobs } from "./open-blobs.ts";
import { RemovalQueue } from "./removals.ts";
import { deleteRemoval, ingestsOf, ownersOf } from "./store.ts";

export interface ContentInternalsOptions extends NamedContentOptions {
  readonly layout: ContentLayout;
  readonly log: Logger;
  /** The ingests that an earlier run left, by backend ref. */
  readonly ingests: Map<string, Ingest>;
  /** Whether content of this namespace may be had by naming its digest. */
  readonly isShared: (namespace: string) => boolean;
}

/** The store's inside, which its writers share. */
export class ContentInternals extends NamedContent implements ContentStore, AsyncDisposable {
  readonly layout: ContentLayout;
  readonly ingests: Map<string, Ingest>;
  /** Files that are read. */
  readonly blobs: OpenBlobs = new OpenBlobs();
  /** What garbage collection may collect here. */
  readonly collectables: readonly Collectable[];
  readonly #removals: RemovalQueue;
  readonly #log: Logger;
  readonly #isShared: (namespace: string) => boolean;
  readonly #stopped: AbortController = new AbortController();
  readonly #background: Set<Promise<void>> = new Set();
  readonly #folders: Set<string> = new Set();
  readonly #chunks: ChunkPool = new ChunkPool();
  readonly #source: BlobSource = { blobs: this.blobs, kernel: createKernel() };
  /** Folders of ended ingests that are being removed. */
  readonly #leaving: Map<string, Promise<void>> = new Map();

  constructor(options: ContentInternalsOptions) {
    super(options);
    this.layout = options.layout;
    this.ingests = options.ingests;
    this.#log = options.log;
    this.#isShared = options.isShared;
    this.#removals = new RemovalQueue({
      root: this.layout.root,
      metadata: this.metadata,
      log: this.#log,
      mutex: this.mutex,
      removeFolder: (folder) => this.#removeFolder(folder),
      signal: this.signal,
    });
    this.collectables = collectableContent({
      noteBlob: (tx, digest) => this.noteBlobRemoval(tx, digest),
      noteIngest: (tx, namespace, backendRef) => this.noteIngestRemoval(tx, namespace, backendRef),
      clean: () => this.#removals.run(),
      isWritten: (backendRef) => this.locks.has(backendRef),
      forgetIngest: (backendRef) => {
        if (!this.locks.has(backendRef)) this.ingests.delete(backendRef);
      },
      now: this.now,
    });
  }

  /** Fires when the store closes. */
  get signal(): AbortSignal {
    return this.#stopped.signal;
  }

  read(ctx: Ctx, digest: Digest, offset = 0, length = 0): AsyncIterable<Uint8Array> {
    return readBlob(ctx, this.#source, this.#stretch(ctx, digest, offset, length), freshMemory);
  }

  lend(ctx: Ctx, digest: Digest, offset = 0, length = 0): AsyncIterable<Uint8Array> {
    return readBlob(ctx, this.#source, this.#stretch(ctx, digest, offset, length), this.#chunks.turnByTurn());
  }

  async file(ctx: Ctx, digest: Digest): Promise<BlobFile> {
    this.info(ctx, digest);
    return { path: this.layout.blob(digest), [Symbol.asyncDispose]: async () => {} };
  }

  status(ctx: Ctx, ref: string): IngestStatus {
    const namespace = requireNamespace(ctx);
    const row = this.ingestRow(namespace, ref);
    const ingest = this.ingests.get(row.backend_ref);
    if (ingest === undefined) throw notFound(`ingest ref ${quote(row.backend_ref)}`);
    return statusOf(ref, ingest);
  }

  listStatuses(ctx: Ctx, filters: readonly string[]): readonly IngestStatus[] {
    const namespace = requireNamespace(ctx);
    const filter = parseFilters(filters);
    const statuses: IngestStatus[] = [];
    for (const { ref, backend_ref } of this.metadata.read((db) => ingestsOf(db, namespace))) {
      const ingest = this.ingests.get(backend_ref);
      if (ingest !== undefined && filter.matches(ingestFields(ref))) statuses.push(statusOf(ref, ingest));
    }
    return statuses;
  }

  async abort(ctx: Ctx, ref: string): Promise<void> {
    const row = await this.abortRow(ctx, ref);
    const folder = this.layout.ingest(row.backend_ref);
    this.ingests.delete(row.backend_ref);
    await this.#removeFolder(folder);
    this.removeNoted();
  }

  /** Source: containerd core/metadata/content.go, Writer. */
  async writer(ctx: Ctx, options: WriterOptions): Promise<ContentWriter> {
    const begun = await this.begin(ctx, options, (tx, expected) => {
      return ownersOf(tx.db, expected).find((one) => this.#isShared(one.namespace))?.size;
    });
    try {
      const { ref, mediaType } = options;
      const target = await this.#target(begun, options, ctx);
      return new IngestWriter({ store: this, ...begun, ref, lease: ctx.lease, mediaType, target });
    } catch (error) {
      this.locks.delete(begun.backendRef);
      throw error;
    }
  }

  blobFolder(digest: Digest): string {
    return dirname(this.layout.blob(digest));
  }

  async ensureBlobFolder(digest: Digest): Promise<void> {
    const folder = this.blobFolder(digest);
    if (this.#folders.has(folder)) return;
    await mkdir(folder, { recursive: true });
    this.#folders.add(folder);
  }

  async createIngest(backendRef: string, total: number): Promise<Ingest> {
    const folder = this.layout.ingest(backendRef);
    await this.#leaving.get(folder);
    const ingest = await createIngest(folder, backendRef, total, this.now());
    this.ingests.set(backendRef, ingest);
    return ingest;
  }

  /** Lets go of an ingest that became a blob. */
  forgetIngest(ingest: Ingest): void {
    this.ingests.delete(ingest.backendRef);
    this.removeNoted();
  }

  noteIngestRemoval(tx: Transaction, _namespace: string, backendRef: string): void {
    this.#removals.note(tx, relativeIngest(backendRef));
  }

  noteBlobRemoval(tx: Transaction, digest: Digest): void {
    this.#removals.note(tx, relativeBlob(digest));
  }

  /** Work that no caller waits for; close does. What it leaves undone, the next start does. */
  background(what: string, work: () => Promise<void>): void {
    const task = work()
      .catch((error: unknown) => this.#log.warn(`content: ${what} failed`, { error: messageOf(error) }))
      .then(() => {
        this.#background.delete(task);
      });
    this.#background.add(task);
  }

  removeNoted(): void {
    this.background("remove files", () => this.#removals.run());
  }

  /** Compares rows and files. */
  check(options: CheckOptions): Promise<CheckCounts> {
    const isWritten = (backendRef: string): boolean => this.locks.has(backendRef);
    return checkContent({ layout: this.layout, metadata: this.metadata, mutex: this.mutex, isWritten }, options);
  }

  /** Settles when nothing goes on in the background. */
  async idle(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(fault("unavailable", "content store is closed"));
    await this.idle();
    await this.blobs[Symbol.asyncDispose]();
  }

  protected override keepIngest(tx: Transaction, _namespace: string, backendRef: string): void {
    deleteRemoval(tx, relativeIngest(backendRef));
  }

  async #target(
    { backendRef, sharedBytes }: BegunWrite,
    { expected, total = 0 }: WriterOptions,
    ctx: Ctx,
  ): Promise<IngestTarget | SharedTarget> {
    if (sharedBytes === undefined || expected === undefined) return this.#openIngest(backendRef, total, ctx);
    return { kind: "shared", digest: expected, sizeBytes: sharedBytes, startedAt: this.now() };
  }

  async #openIngest(backendRef: string, total: number, ctx: Ctx): Promise<IngestTarget> {
    const ingest = (await this.#resume(backendRef, total, ctx)) ?? (await this.createIngest(backendRef, total));
    return { kind: "ingest", ingest, fd: await openData(ingest) };
  }

  /** An ingest that can be gone on with; undefined when it has to begin anew. */
  async #resume(backendRef: string, total: number, ctx: Ctx): Promise<Ingest | undefined> {
    const ingest = this.ingests.get(backendRef);
    if (ingest === undefined) return undefined;
    try {
      if (total > 0 && ingest.total > 0 && total !== ingest.total) {
        throw invalidArgument(`provided total differs from status: ${total} != ${ingest.total}`);
      }
      await catchUp(ingest, AbortSignal.any([ctx.signal, this.signal]));
      return ingest;
    } catch (error) {
      ctx.signal.throwIfAborted();
      ctx.log.info("failed to resume an ingest, it begins anew", { ref: backendRef, error: messageOf(error) });
      return undefined;
    }
  }

  #stretch(ctx: Ctx, digest: Digest, offset: number, length: number): BlobStretch {
    return { path: this.layout.blob(digest), digest, ...this.stretch(ctx, digest, offset, length) };
  }

  #removeFolder(folder: string): Promise<void> {
    const removal = rm(folder, { recursive: true, force: true }).finally(() => {
      if (this.#leaving.get(folder) === removal) this.#leaving.delete(folder);
    });
    this.#leaving.set(folder, removal);
    return removal;
  }
}
