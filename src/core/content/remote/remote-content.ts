import { mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Ctx } from "../../../lib/ctx.ts";
import type { Digest } from "../../../lib/digest.ts";
import { isFault } from "../../../lib/faults.ts";
import { parseFilters } from "../../../lib/filters.ts";
import type { Collectable } from "../../gc/index.ts";
import type { Transaction } from "../../metadata/index.ts";
import { requireNamespace } from "../../required-namespace.ts";
import { collectableContent } from "../collectable-content.ts";
import type { BlobFile, ContentStore, ContentWriter, IngestStatus, WriterOptions } from "../content.ts";
import { ingestFields } from "../content-fields.ts";
import { type BegunWrite, NamedContent, type NamedContentOptions } from "../named-content.ts";
import type { SharedTarget } from "../named-writer.ts";
import { ingestsOf, ownersOf } from "../store.ts";
import type { BackendCall, ContentBackend } from "./backend.ts";
import type { BackendWrite } from "./backend-write.ts";
import type { RemoteRemovals } from "./remote-removals.ts";
import { type RemoteTarget, RemoteWriter } from "./remote-writer.ts";

export interface RemoteContentOptions extends NamedContentOptions {
  readonly backend: ContentBackend;
  readonly removals: (store: RemoteContent) => RemoteRemovals;
  /** A folder for what workers read as a file. */
  readonly spool: string;
  /** Content that is there may be had by naming its digest, whoever else has it. */
  readonly isShared: boolean;
  /** Whether content of this namespace may be had so in any case. */
  readonly isShareable: (namespace: string) => boolean;
}

/**
 * A content store whose bytes another process keeps: namespaces, labels, leases and sizes are rows here.
 * Source: containerd core/metadata/content.go, core/content/proxy/content_store.go.
 */
export class RemoteContent extends NamedContent implements ContentStore, AsyncDisposable {
  readonly backend: ContentBackend;
  readonly removals: RemoteRemovals;
  /** What garbage collection may collect here. */
  readonly collectables: readonly Collectable[];
  readonly #options: RemoteContentOptions;

  constructor(options: RemoteContentOptions) {
    super(options);
    this.#options = options;
    this.backend = options.backend;
    this.removals = options.removals(this);
    this.collectables = collectableContent({
      noteBlob: (tx, digest, namespace) => this.noteBlobRemoval(tx, digest, namespace),
      noteIngest: (tx, namespace, backendRef) => this.noteIngestRemoval(tx, namespace, backendRef),
      clean: () => this.removals.settle(),
      isWritten: (backendRef) => this.locks.has(backendRef),
      forgetIngest: () => {},
      now: this.now,
    });
  }

  read(ctx: Ctx, digest: Digest, offset = 0, length = 0): AsyncIterable<Uint8Array> {
    const { from, to } = this.stretch(ctx, digest, offset, length);
    return from === to ? nothing() : this.backend.read(callOf(ctx), digest, from, to - from);
  }

  lend(ctx: Ctx, digest: Digest, offset = 0, length = 0): AsyncIterable<Uint8Array> {
    return this.read(ctx, digest, offset, length);
  }

  /** Effects: the bytes are copied to this machine's disk until the answer is disposed of. */
  async file(ctx: Ctx, digest: Digest): Promise<BlobFile> {
    const bytes = this.read(ctx, digest);
    const folder = await mkdtemp(join(this.#options.spool, "blob-"));
    const path = join(folder, "data");
    const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
    try {
      await using file = await open(path, "wx", 0o600);
      for await (const piece of bytes) await file.writeFile(piece);
    } catch (error) {
      await remove();
      throw error;
    }
    return { path, [Symbol.asyncDispose]: remove };
  }

  async status(ctx: Ctx, ref: string): Promise<IngestStatus> {
    const { backend_ref: backendRef } = this.ingestRow(requireNamespace(ctx), ref);
    return { ...(await this.backend.status(callOf(ctx), backendRef)), ref };
  }

  async listStatuses(ctx: Ctx, filters: readonly string[]): Promise<readonly IngestStatus[]> {
    const namespace = requireNamespace(ctx);
    const filter = parseFilters(filters);
    const rows = this.metadata
      .read((db) => ingestsOf(db, namespace))
      .filter(({ ref }) => filter.matches(ingestFields(ref)));
    const statuses: IngestStatus[] = [];
    for (const { ref, backend_ref: backendRef } of rows) {
      try {
        statuses.push({ ...(await this.backend.status(callOf(ctx), backendRef)), ref });
      } catch (error) {
        // One that ended meanwhile, or has no bytes of its own.
        if (!isFault(error, "notFound")) throw error;
      }
    }
    return statuses;
  }

  async abort(ctx: Ctx, ref: string): Promise<void> {
    await this.abortRow(ctx, ref);
    await this.removals.settle();
  }

  async writer(ctx: Ctx, options: WriterOptions): Promise<ContentWriter> {
    const call = callOf(ctx);
    const { expected, ref, mediaType, total = 0 } = options;
    const begun = await this.#begun(ctx, call, options);
    try {
      const target = await this.#target(call, begun, expected, total);
      return new RemoteWriter({ store: this, ...begun, ref, lease: ctx.lease, mediaType, call, target });
    } catch (error) {
      this.locks.delete(begun.backendRef);
      throw error;
    }
  }

  /** Waits for a removal of an earlier ingest of that ref that is under way. */
  async openWrite(call: BackendCall, backendRef: string, total: number): Promise<BackendWrite> {
    using _lock = await this.mutex.lock(backendRef);
    return this.backend.write(call, backendRef, total);
  }

  noteBlobRemoval(tx: Transaction, digest: Digest, namespace: string): void {
    this.removals.note(tx, { kind: "blob", namespace, name: digest });
  }

  noteIngestRemoval(tx: Transaction, namespace: string, backendRef: string): void {
    this.removals.note(tx, { kind: "ingest", namespace, name: backendRef });
  }

  removeNoted(): void {
    this.removals.discard();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.removals[Symbol.asyncDispose]();
  }

  protected override keepIngest(tx: Transaction, _namespace: string, backendRef: string): void {
    this.removals.forget(tx, { kind: "ingest", name: backendRef });
  }

  /** What is there may be taken from the moment at which it is looked for: no removal comes between. */
  async #begun(ctx: Ctx, call: BackendCall, options: WriterOptions): Promise<BegunWrite> {
    const { expected } = options;
    if (expected === undefined) return this.begin(ctx, options, () => undefined);
    using _lock = await this.mutex.lock(expected);
    const size = await this.backend.find(call, expected);
    return this.begin(ctx, options, (tx) => (this.#mayTake(tx, expected) ? size : undefined));
  }

  #mayTake(tx: Transaction, digest: Digest): boolean {
    const { isShared, isShareable } = this.#options;
    return isShared || ownersOf(tx.db, digest).some(({ namespace }) => isShareable(namespace));
  }

  async #target(
    call: BackendCall,
    { backendRef, sharedBytes }: BegunWrite,
    expected: Digest | undefined,
    total: number,
  ): Promise<RemoteTarget | SharedTarget> {
    if (sharedBytes !== undefined && expected !== undefined) {
      return { kind: "shared", digest: expected, sizeBytes: sharedBytes, startedAt: this.now() };
    }
    return { kind: "ingest", write: await this.openWrite(call, backendRef, total), total };
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function callOf(ctx: Ctx): BackendCall {
  return { namespace: requireNamespace(ctx), signal: ctx.signal };
}
