import { create } from "@bufbuild/protobuf";
import { ContentCreateSchema, ContentDeleteSchema } from "../../gen/containerd/events/content_pb.ts";
import { type Clock, notBefore } from "../../lib/clock.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { alreadyExists, FaultError, fault, invalidArgument, notFound, quote, wrapFault } from "../../lib/faults.ts";
import { parseFilters } from "../../lib/filters.ts";
import type { Instant } from "../../lib/instant.ts";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import { applyLabelPath, checkLabels, requireLabelKeys } from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import { ensureNamespace } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { ContentInfo, WriterOptions } from "./content.ts";
import { contentFields } from "./content-fields.ts";
import {
  allBlobs,
  deleteBlob,
  deleteIngest,
  findBlob,
  findIngest,
  type IngestRow,
  insertBlob,
  isNeeded,
  putIngest,
  updateBlob,
} from "./store.ts";

/** How long an ingest lives that no lease holds. Source: containerd core/metadata/content.go, Writer. */
const ingestLifetimeMs = 24 * 60 * 60 * 1000;

export interface NamedContentOptions {
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly clock: Clock;
}

/** A write that was begun; `sharedBytes` is the size of content that is there already and may be taken. */
export interface BegunWrite {
  readonly namespace: string;
  readonly backendRef: string;
  readonly sharedBytes: number | undefined;
}

/** What a commit makes of a write. */
export interface EndedWrite {
  readonly namespace: string;
  readonly ref: string;
  readonly backendRef: string;
  readonly lease: string | undefined;
  readonly mediaType: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
}

/**
 * The rows of a content store: which namespace has which content, with which labels, and what is being written. Where the bytes
 * are is a matter of those who build on it.
 * Source: containerd core/metadata/content.go.
 */
export abstract class NamedContent {
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly now: Clock;
  /** Refs with a writer, by backend ref, and since when. */
  readonly locks: Map<string, Instant> = new Map();
  /** Held by digest while a blob's bytes come or go. */
  readonly mutex: KeyedMutex = new KeyedMutex();

  constructor(options: NamedContentOptions) {
    this.metadata = options.metadata;
    this.exchange = options.exchange;
    this.leases = options.leases;
    this.now = options.clock;
  }

  /** Notes that nobody needs a blob's bytes any more. */
  abstract noteBlobRemoval(tx: Transaction, digest: Digest, namespace: string): void;
  /** Notes that an ingest's bytes are to go. */
  abstract noteIngestRemoval(tx: Transaction, namespace: string, backendRef: string): void;
  /** Begins to remove what is noted. */
  abstract removeNoted(): void;
  /** An ingest that was to go is begun anew. */
  protected abstract keepIngest(tx: Transaction, namespace: string, backendRef: string): void;

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
      this.noteBlobRemoval(tx, digest, namespace);
      return true;
    });
    if (orphaned) this.removeNoted();
  }

  /** Which bytes of a blob are meant; to its end when there is no length. Errors: notFound, outOfRange. */
  protected stretch(ctx: Ctx, digest: Digest, offset: number, length: number): { from: number; to: number } {
    const { sizeBytes } = this.info(ctx, digest);
    const from = Math.max(0, offset);
    if (from > sizeBytes) throw new FaultError("outOfRange", `read past object length ${sizeBytes} bytes`);
    return { from, to: length > 0 ? Math.min(from + length, sizeBytes) : sizeBytes };
  }

  /** The row of an unfinished write. Errors: notFound. */
  protected ingestRow(namespace: string, ref: string): IngestRow {
    const row = this.metadata.read((db) => findIngest(db, namespace, ref));
    if (row === undefined) throw notFound(`reference ${ref}`);
    return row;
  }

  /** Takes away the row of an unfinished write and notes what goes with it. Errors: notFound. */
  protected abortRow(ctx: Ctx, ref: string): Promise<IngestRow> {
    const namespace = requireNamespace(ctx);
    return this.metadata.update((tx) => {
      const found = findIngest(tx.db, namespace, ref);
      if (found === undefined) throw notFound(`reference ${ref}`);
      deleteIngest(tx, namespace, ref);
      this.leases.detach(tx, namespace, ctx.lease, { type: "ingests", id: ref });
      this.noteIngestRemoval(tx, namespace, found.backend_ref);
      const { expected } = found;
      if (expected !== null && !isNeeded(tx.db, expected)) this.noteBlobRemoval(tx, expected as Digest, namespace);
      return found;
    });
  }

  /**
   * Writes the row of an ingest and locks its ref. Shape: `sharedBytes` tells the size of content that may be taken from others.
   * Errors: alreadyExists (the namespace has the expected content), unavailable (the ref is locked).
   * Effects: whoever called it lets go of the lock.
   */
  protected async begin(
    ctx: Ctx,
    options: WriterOptions,
    sharedBytes: (tx: Transaction, expected: Digest) => number | undefined,
  ): Promise<BegunWrite> {
    if (options.ref === "") throw invalidArgument("ref must not be empty");
    const namespace = requireNamespace(ctx);
    const backendRef = `${namespace}/1/${options.ref}`;
    let locked = false;
    try {
      const begun = await this.metadata.update((tx): BegunWrite | "exists" => {
        const found = this.#claim(tx, ctx, namespace, options, sharedBytes);
        if (found === "exists") return found;
        this.#lock(backendRef);
        locked = true;
        this.#begin(tx, ctx, namespace, backendRef, options, found !== undefined);
        return { namespace, backendRef, sharedBytes: found };
      });
      if (begun === "exists") throw alreadyExists(`content ${options.expected}`);
      return begun;
    } catch (error) {
      if (locked) this.locks.delete(backendRef);
      throw error;
    }
  }

  /** Makes the blob the namespace's, in the transaction in which its ingest ends; true when it had the blob already. */
  record(write: EndedWrite, digest: Digest, sizeBytes: number, more?: (tx: Transaction) => void): Promise<boolean> {
    const { namespace, ref, backendRef, lease, mediaType = "", labels } = write;
    const now = this.now();
    return this.metadata.update((tx) => {
      const there = findBlob(tx.db, namespace, digest) !== undefined;
      if (!there) insertBlob(tx, namespace, { digest, sizeBytes, createdAt: now, updatedAt: now, labels });
      tx.touch("content", namespace, digest);
      deleteIngest(tx, namespace, ref);
      this.noteIngestRemoval(tx, namespace, backendRef);
      this.leases.detach(tx, namespace, lease, { type: "ingests", id: ref });
      this.leases.attach(tx, namespace, lease, { type: "content", id: digest });
      more?.(tx);
      const event = create(ContentCreateSchema, { digest, size: BigInt(sizeBytes), mediaType });
      if (!there) {
        tx.afterCommit(() =>
          this.exchange.publish(createCtx({ namespace }), "/content/create", anyOf(ContentCreateSchema, event)),
        );
      }
      return there;
    });
  }

  /** Whether the expected content is the namespace's already, or may be taken from another one. */
  #claim(
    tx: Transaction,
    ctx: Ctx,
    namespace: string,
    { expected, total = 0 }: WriterOptions,
    sharedBytes: (tx: Transaction, expected: Digest) => number | undefined,
  ): "exists" | number | undefined {
    if (expected === undefined) return undefined;
    if (findBlob(tx.db, namespace, expected) !== undefined) {
      this.leases.attach(tx, namespace, ctx.lease, { type: "content", id: expected });
      return "exists";
    }
    const size = sharedBytes(tx, expected);
    // A size that differs is likely a mistake, which commit tells of.
    return size !== undefined && (total === 0 || total === size) ? size : undefined;
  }

  #begin(
    tx: Transaction,
    ctx: Ctx,
    namespace: string,
    backendRef: string,
    options: WriterOptions,
    isShared: boolean,
  ): void {
    ensureNamespace(tx, namespace);
    const expected = isShared ? (options.expected as Digest) : null;
    const leased = ctx.lease !== undefined && ctx.lease !== "";
    const expireAt = leased ? undefined : this.now().plusMs(ingestLifetimeMs);
    tx.touch("ingest", namespace, options.ref);
    putIngest(tx, { namespace, ref: options.ref, backend_ref: backendRef, expected }, expireAt);
    this.keepIngest(tx, namespace, backendRef);
    this.leases.attach(tx, namespace, ctx.lease, { type: "ingests", id: options.ref });
  }

  #lock(backendRef: string): void {
    const since = this.locks.get(backendRef);
    if (since !== undefined) {
      const seconds = (this.now().ms - since.ms) / 1000;
      throw fault("unavailable", `ref ${backendRef} locked for ${seconds}s (since ${since.toString()})`);
    }
    this.locks.set(backendRef, this.now());
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
