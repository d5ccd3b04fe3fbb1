import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ContentDeleteSchema } from "../../gen/containerd/events/content_pb.ts";
import { type Clock, notBefore } from "../../lib/clock.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import {
  alreadyExists,
  FaultError,
  fault,
  invalidArgument,
  messageOf,
  notFound,
  quote,
  wrapFault,
} from "../../lib/faults.ts";
import { parseFilters } from "../../lib/filters.ts";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import { applyLabelPath, checkLabels, requireLabelKeys } from "../../lib/labels.ts";
import type { Logger } from "../../lib/log.ts";
import { createKernel } from "../../sys/index.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { Collectable } from "../gc/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import { ensureNamespace } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { CheckCounts, CheckOptions } from "../system/index.ts";
import { type ContentLayout, relativeBlob, relativeIngest } from "./blob-files.ts";
import { type BlobSource, type BlobStretch, readBlob } from "./blob-reader.ts";
import { ChunkPool, freshMemory } from "./chunk-memory.ts";
import { collectableContent } from "./collectable-content.ts";
import type { ContentInfo, ContentStore, ContentWriter, IngestStatus, WriterOptions } from "./content.ts";
import { checkContent } from "./content-check.ts";
import { contentFields, ingestFields } from "./content-fields.ts";
import { IngestWriter, type WriterTarget } from "./content-writer.ts";
import { catchUp, createIngest, type Ingest, openData, statusOf } from "./ingest-files.ts";
import { OpenBlobs } from "./open-blobs.ts";
import { RemovalQueue } from "./removals.ts";
import {
  allBlobs,
  deleteBlob,
  deleteIngest,
  deleteRemoval,
  findBlob,
  findIngest,
  ingestsOf,
  isNeeded,
  ownersOf,
  putIngest,
  updateBlob,
} from "./store.ts";

/** How long an ingest lives that no lease holds. Source: containerd core/metadata/content.go, Writer. */
const ingestLifetimeMs = 24 * 60 * 60 * 1000;

export interface ContentInternalsOptions {
  readonly layout: ContentLayout;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly log: Logger;
  readonly clock: Clock;
  /** The ingests that an earlier run left, by backend ref. */
  readonly ingests: Map<string, Ingest>;
  /** Whether content of this namespace may be had by naming its digest. */
  readonly isShared: (namespace: string) => boolean;
}

/** The store's inside, which its writers share. */
export class ContentInternals implements ContentStore, AsyncDisposable {
  readonly layout: ContentLayout;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly ingests: Map<string, Ingest>;
  /** Refs with a writer, by backend ref, and since when. */
  readonly locks: Map<string, Date> = new Map();
  /** Held by digest while a blob's file comes or goes. */
  readonly mutex: KeyedMutex = new KeyedMutex();
  /** Files that are read. */
  readonly blobs: OpenBlobs = new OpenBlobs();
  readonly now: Clock;
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
    this.layout = options.layout;
    this.metadata = options.metadata;
    this.exchange = options.exchange;
    this.leases = options.leases;
    this.ingests = options.ingests;
    this.now = options.clock;
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
      removals: this.#removals,
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

  info(ctx: Ctx, digest: Digest): ContentInfo {
    const namespace = requireNamespace(ctx);
    return this.metadata.read((db) => required(findBlob(db, namespace, digest), digest));
  }

  list(ctx: Ctx, filters: readonly string[]): readonly ContentInfo[] {
    const namespace = requireNamespace(ctx);
    const filter = parseFilters(filters);
    const all = this.metadata.read((db) => allBlobs(db, namespace));
    return filters.length === 0 ? all : all.filter((info) => filter.matches(contentFields(info)));
  }

  async update(
    ctx: Ctx,
    info: { readonly digest: Digest; readonly labels: ReadonlyMap<string, string> },
    paths: readonly string[],
  ): Promise<ContentInfo> {
    const namespace = requireNamespace(ctx);
    return this.metadata.update((tx) => {
      const current = required(findBlob(tx.db, namespace, info.digest), info.digest);
      const labels = new Map(current.labels);
      for (const path of paths.length === 0 ? ["labels"] : paths) {
        if (applyLabelPath(labels, info.labels, path)) continue;
        throw invalidArgument(`cannot update ${quote(path)} field on content info ${quote(info.digest)}`);
      }
      checkLabels(labels, "info.Labels");
      requireKeys(info.digest, labels);
      const updated = { ...current, labels, updatedAt: notBefore(this.now(), current.createdAt) };
      updateBlob(tx, namespace, updated);
      tx.touch("content", namespace, info.digest);
      return updated;
    });
  }

  async delete(ctx: Ctx, digest: Digest): Promise<void> {
    const namespace = requireNamespace(ctx);
    const orphaned = await this.metadata.update((tx) => {
      if (!deleteBlob(tx, namespace, digest)) throw missing(digest);
      this.leases.detach(tx, namespace, ctx.lease, { type: "content", id: digest });
      tx.afterCommit(() =>
        this.exchange.publish(
          createCtx({ namespace }),
          "/content/delete",
          anyOf(ContentDeleteSchema, create(ContentDeleteSchema, { digest })),
        ),
      );
      tx.release();
      if (isNeeded(tx.db, digest)) return false;
      this.#removals.note(tx, relativeBlob(digest));
      return true;
    });
    if (orphaned) this.removeFiles();
  }

  read(ctx: Ctx, digest: Digest, offset = 0, length = 0): AsyncIterable<Uint8Array> {
    return readBlob(ctx, this.#source, this.#stretch(ctx, digest, offset, length), freshMemory);
  }

  lend(ctx: Ctx, digest: Digest, offset = 0, length = 0): AsyncIterable<Uint8Array> {
    return readBlob(ctx, this.#source, this.#stretch(ctx, digest, offset, length), this.#chunks.turnByTurn());
  }

  blobPath(ctx: Ctx, digest: Digest): string {
    this.info(ctx, digest);
    return this.layout.blob(digest);
  }

  status(ctx: Ctx, ref: string): IngestStatus {
    const namespace = requireNamespace(ctx);
    const row = this.metadata.read((db) => findIngest(db, namespace, ref));
    if (row === undefined) throw notFound(`reference ${ref}`);
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
    const namespace = requireNamespace(ctx);
    const row = await this.metadata.update((tx) => {
      const found = findIngest(tx.db, namespace, ref);
      if (found === undefined) throw notFound(`reference ${ref}`);
      deleteIngest(tx, namespace, ref);
      this.leases.detach(tx, namespace, ctx.lease, { type: "ingests", id: ref });
      this.#removals.note(tx, relativeIngest(found.backend_ref));
      const { expected } = found;
      if (expected !== null && !isNeeded(tx.db, expected)) this.#removals.note(tx, relativeBlob(expected as Digest));
      return found;
    });
    const folder = this.layout.ingest(row.backend_ref);
    this.ingests.delete(row.backend_ref);
    await this.#removeFolder(folder);
    this.removeFiles();
  }

  /** Source: containerd core/metadata/content.go, Writer. */
  async writer(ctx: Ctx, options: WriterOptions): Promise<ContentWriter> {
    if (options.ref === "") throw invalidArgument("ref must not be empty");
    const namespace = requireNamespace(ctx);
    const backendRef = `${namespace}/1/${options.ref}`;
    let locked = false;
    try {
      const shared = await this.metadata.update((tx) => {
        const found = this.#claim(tx, ctx, namespace, options);
        if (found === "exists") return found;
        this.#lock(backendRef);
        locked = true;
        return this.#begin(tx, ctx, namespace, backendRef, options, found);
      });
      if (shared === "exists") throw alreadyExists(`content ${options.expected}`);
      const target = shared ?? (await this.#openIngest(backendRef, options.total ?? 0, ctx));
      const { ref, mediaType } = options;
      return new IngestWriter({ store: this, namespace, ref, backendRef, lease: ctx.lease, mediaType, target });
    } catch (error) {
      if (locked) this.locks.delete(backendRef);
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
    this.removeFiles();
  }

  /** Notes, in the transaction in which an ingest ends, that its folder is to go. */
  noteIngestRemoval(tx: Transaction, backendRef: string): void {
    this.#removals.note(tx, relativeIngest(backendRef));
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

  /** Begins to remove the files that are noted for it. */
  removeFiles(): void {
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

  /** Whether the expected content is the namespace's already, or may be taken from another one. */
  #claim(tx: Transaction, ctx: Ctx, namespace: string, options: WriterOptions): "exists" | number | undefined {
    const { expected, total = 0 } = options;
    if (expected === undefined) return undefined;
    if (findBlob(tx.db, namespace, expected) !== undefined) {
      this.leases.attach(tx, namespace, ctx.lease, { type: "content", id: expected });
      return "exists";
    }
    // A size that differs is likely a mistake, which commit tells of.
    const owner = ownersOf(tx.db, expected).find((one) => this.#isShared(one.namespace));
    return owner !== undefined && (total === 0 || total === owner.size) ? owner.size : undefined;
  }

  #begin(
    tx: Transaction,
    ctx: Ctx,
    namespace: string,
    backendRef: string,
    options: WriterOptions,
    sharedSize: number | undefined,
  ): WriterTarget | undefined {
    ensureNamespace(tx, namespace);
    const expected = sharedSize === undefined ? null : (options.expected as Digest);
    const leased = ctx.lease !== undefined && ctx.lease !== "";
    const expireAt = leased ? undefined : new Date(this.now().getTime() + ingestLifetimeMs);
    tx.touch("ingest", namespace, options.ref);
    putIngest(tx, { namespace, ref: options.ref, backend_ref: backendRef, expected }, expireAt);
    deleteRemoval(tx, relativeIngest(backendRef));
    this.leases.attach(tx, namespace, ctx.lease, { type: "ingests", id: options.ref });
    if (expected === null) return undefined;
    return { kind: "shared", digest: expected as Digest, sizeBytes: sharedSize as number, startedAt: this.now() };
  }

  #lock(backendRef: string): void {
    const since = this.locks.get(backendRef);
    if (since !== undefined) {
      const seconds = (this.now().getTime() - since.getTime()) / 1000;
      throw fault("unavailable", `ref ${backendRef} locked for ${seconds}s (since ${since.toISOString()})`);
    }
    this.locks.set(backendRef, this.now());
  }

  async #openIngest(backendRef: string, total: number, ctx: Ctx): Promise<WriterTarget> {
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
    const { sizeBytes } = this.info(ctx, digest);
    const from = Math.max(0, offset);
    if (from > sizeBytes) throw new FaultError("outOfRange", `read past object length ${sizeBytes} bytes`);
    const to = length > 0 ? Math.min(from + length, sizeBytes) : sizeBytes;
    return { path: this.layout.blob(digest), digest, from, to };
  }

  #removeFolder(folder: string): Promise<void> {
    const removal = rm(folder, { recursive: true, force: true }).finally(() => {
      if (this.#leaving.get(folder) === removal) this.#leaving.delete(folder);
    });
    this.#leaving.set(folder, removal);
    return removal;
  }
}

/** Errors: unknown, as under containerd: a label has no key. */
function requireKeys(digest: Digest, labels: ReadonlyMap<string, string>): void {
  try {
    requireLabelKeys(labels);
  } catch (error) {
    throw wrapFault(`writing labels for info ${digest}`, error);
  }
}

function missing(digest: Digest): Error {
  return notFound(`content digest ${digest}`);
}

function required(info: ContentInfo | undefined, digest: Digest): ContentInfo {
  if (info === undefined) throw missing(digest);
  return info;
}
