import { constants } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import type { Ctx } from "../../lib/ctx.ts";
import { algorithmOf, createDigester, type Digest, digestProblem } from "../../lib/digest.ts";
import { alreadyExists, failedPrecondition, quote, wrapFault } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import { checkLabels, requireLabelKeys } from "../../lib/labels.ts";
import {
  chmodFile,
  closeFile,
  openFile,
  readOnce,
  sizeOf,
  syncFile,
  syncFolder,
  truncateFile,
  writeFully,
} from "./blob-files.ts";
import type { ContentWriter, IngestStatus } from "./content.ts";
import {
  dataPath,
  digestFile,
  digestSlices,
  type Ingest,
  intentPath,
  keepHash,
  openData,
  saveUpdated,
} from "./ingest-files.ts";
import type { ContentInternals } from "./local-content-store.ts";
import { createIngestDigester } from "./resumable-digester.ts";
import { forgetHash } from "./saved-hash.ts";

type CommitOptions = Parameters<ContentWriter["commit"]>[1];

const noLabels: ReadonlyMap<string, string> = new Map();
const copyBytes = 1 << 20;

/** What a writer works on: bytes of its own, or a blob that is there already for another namespace. */
export type WriterTarget =
  | { readonly kind: "ingest"; readonly ingest: Ingest; readonly fd: number }
  | { readonly kind: "shared"; readonly digest: Digest; readonly sizeBytes: number; readonly startedAt: Instant };

export interface IngestWriterOptions {
  readonly store: ContentInternals;
  readonly namespace: string;
  readonly ref: string;
  readonly backendRef: string;
  readonly lease: string | undefined;
  readonly mediaType: string | undefined;
  readonly target: WriterTarget;
}

/** The one writer of a ref. Not for concurrent calls: each waits for the one before. */
export class IngestWriter implements ContentWriter {
  readonly #store: ContentInternals;
  readonly #options: IngestWriterOptions;
  #target: WriterTarget | undefined;

  constructor(options: IngestWriterOptions) {
    this.#store = options.store;
    this.#options = options;
    this.#target = options.target;
  }

  status(): IngestStatus {
    const { ref } = this.#options;
    const target = this.#open();
    if (target.kind === "shared") {
      const { sizeBytes, startedAt, digest } = target;
      return { ref, offset: sizeBytes, total: sizeBytes, expected: digest, startedAt, updatedAt: startedAt };
    }
    const { offset, total, startedAt, updatedAt } = target.ingest;
    return { ref, offset, total, expected: undefined, startedAt, updatedAt };
  }

  digest(): Digest {
    const target = this.#open();
    return target.kind === "shared" ? target.digest : digesterOf(target.ingest).digest();
  }

  file(): string | undefined {
    const target = this.#open();
    return target.kind === "ingest" ? dataPath(target.ingest.folder) : undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const { ingest, fd } = await this.#own(false);
    // Before the write: whenever we die in it, the file is the one that was kept, or has grown a moment later.
    await keepHash(ingest);
    const digester = digesterOf(ingest);
    // Until both are done the hash and the file may disagree: without a digester the file would be read again.
    ingest.digester = undefined;
    const written = writeFully(fd, bytes, ingest.offset);
    await Promise.all([written, digestSlices(digester, bytes)]);
    ingest.digester = digester;
    ingest.offset += bytes.length;
    ingest.updatedAt = this.#store.now();
  }

  async truncate(): Promise<void> {
    const { ingest, fd } = await this.#own(true);
    if (ingest.offset === 0) return;
    ingest.digester = undefined;
    await forgetHash(ingest.folder);
    ingest.kept.offset = 0;
    await truncateFile(fd, 0);
    ingest.offset = 0;
    ingest.digester = createIngestDigester(ingest.total);
  }

  /** Source: containerd core/metadata/content.go, namespacedWriter.Commit; plugins/content/local/writer.go, Commit. */
  async commit(_ctx: Ctx, options: CommitOptions): Promise<Digest> {
    const target = this.#open();
    try {
      checkLabels(options.labels ?? noLabels, "info.Labels");
      this.#checkSize(options.sizeBytes);
      requireLabelKeys(options.labels ?? noLabels);
      return target.kind === "shared"
        ? await this.#commitShared(target, options)
        : await this.#commitIngest(target, options);
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const target = this.#target;
    if (target === undefined) return;
    this.#target = undefined;
    try {
      if (target.kind === "ingest") {
        await closeFile(target.fd);
        if (this.#store.ingests.get(this.#options.backendRef) === target.ingest) {
          await Promise.all([saveUpdated(target.ingest), keepHash(target.ingest, true)]);
        }
      }
    } finally {
      this.#store.locks.delete(this.#options.backendRef);
    }
  }

  #open(): WriterTarget {
    if (this.#target === undefined) throw failedPrecondition("cannot commit on closed writer");
    return this.#target;
  }

  #checkSize(wanted: number | undefined): void {
    const { offset } = this.status();
    if (wanted === undefined || wanted === 0 || wanted === offset) return;
    throw failedPrecondition(`${quote(this.#options.ref)} failed size validation: ${offset} != ${wanted}`);
  }

  /** An ingest of one's own; out of a shared blob one is made first, with a copy of it unless it is to be empty. */
  async #own(empty: boolean): Promise<Extract<WriterTarget, { kind: "ingest" }>> {
    const target = this.#open();
    if (target.kind === "ingest") return target;
    const ingest = await this.#store.createIngest(this.#options.backendRef, empty ? 0 : target.sizeBytes);
    const fd = await openData(ingest);
    const own = { kind: "ingest", ingest, fd } as const;
    this.#target = own;
    if (!empty) await this.#copyBlob(target.digest, own);
    return own;
  }

  async #copyBlob(digest: Digest, { ingest, fd }: Extract<WriterTarget, { kind: "ingest" }>): Promise<void> {
    const source = await openFile(this.#store.layout.blob(digest), constants.O_RDONLY);
    try {
      const buffer = Buffer.allocUnsafeSlow(copyBytes);
      const digester = digesterOf(ingest);
      for (;;) {
        const count = await readOnce(source, buffer, ingest.offset);
        if (count === 0) return;
        const piece = buffer.subarray(0, count);
        await writeFully(fd, piece, ingest.offset);
        await digestSlices(digester, piece);
        ingest.offset += count;
      }
    } finally {
      await closeFile(source);
    }
  }

  async #commitShared(target: Extract<WriterTarget, { kind: "shared" }>, options: CommitOptions): Promise<Digest> {
    if (options.expected !== undefined && options.expected !== target.digest) {
      throw failedPrecondition(`${quote(this.#options.ref)} unexpected digest`);
    }
    if (await this.#record(target.digest, target.sizeBytes, options)) throw alreadyExists(`content ${target.digest}`);
    return target.digest;
  }

  async #commitIngest(target: Extract<WriterTarget, { kind: "ingest" }>, options: CommitOptions): Promise<Digest> {
    const { ingest, fd } = target;
    const digest = await this.#verified(ingest, options.expected);
    using _lock = await this.#store.mutex.lock(digest);
    const blob = this.#store.layout.blob(digest);
    if ((await sizeOf(blob)) !== ingest.offset) await this.#publish(ingest, fd, digest, blob);
    const existed = await this.#record(digest, ingest.offset, options);
    this.#store.forgetIngest(ingest);
    if (existed) throw alreadyExists(`content ${digest}`);
    return digest;
  }

  async #verified(ingest: Ingest, expected: Digest | undefined): Promise<Digest> {
    let digest = digesterOf(ingest).digest();
    if (expected === undefined) return digest;
    if (digestProblem(expected) === undefined && algorithmOf(expected) !== algorithmOf(digest)) {
      const digester = createDigester(algorithmOf(expected));
      await digestFile(dataPath(ingest.folder), digester, this.#store.signal);
      digest = digester.digest();
    }
    if (digest === expected) return digest;
    throw failedPrecondition(`unexpected commit digest ${digest}, expected ${expected}`);
  }

  /** Brings the bytes to disk and to their place. Die on any line, and start-up knows what to do: see recovery.ts. */
  async #publish(ingest: Ingest, fd: number, digest: Digest, blob: string): Promise<void> {
    try {
      await Promise.all([
        syncFile(fd),
        chmodFile(fd, 0o444),
        writeFile(intentPath(ingest.folder), digest),
        this.#store.ensureBlobFolder(digest),
      ]);
      await rename(dataPath(ingest.folder), blob);
      this.#store.blobs.forget(blob);
      await syncFolder(this.#store.blobFolder(digest));
    } catch (error) {
      throw wrapFault(`commit ${digest}`, error);
    }
  }

  /** True when the namespace had the blob already. */
  #record(digest: Digest, sizeBytes: number, { labels = noLabels }: CommitOptions): Promise<boolean> {
    return this.#store.record({ ...this.#options, labels }, digest, sizeBytes);
  }
}

function digesterOf(ingest: Ingest): NonNullable<Ingest["digester"]> {
  if (ingest.digester === undefined) throw failedPrecondition("the ingest's last write failed: open it again");
  return ingest.digester;
}
