import { constants } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { algorithmOf, createDigester, type Digest, digestProblem } from "../../lib/digest.ts";
import { alreadyExists, failedPrecondition, wrapFault } from "../../lib/faults.ts";
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
import { type CommitOptions, type IngestProgress, NamedWriter, noLabels, type SharedTarget } from "./named-writer.ts";
import { createIngestDigester } from "./resumable-digester.ts";
import { forgetHash } from "./saved-hash.ts";

const copyBytes = 1 << 20;

/** Bytes of the writer's own. */
export interface IngestTarget {
  readonly kind: "ingest";
  readonly ingest: Ingest;
  readonly fd: number;
}

/** Writes into this store's own files. */
export class IngestWriter extends NamedWriter<ContentInternals, IngestTarget> {
  file(): string | undefined {
    const target = this.open();
    return target.kind === "ingest" ? dataPath(target.ingest.folder) : undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const { ingest, fd } = await this.own(false);
    // Before the write: whenever we die in it, the file is the one that was kept, or has grown a moment later.
    await keepHash(ingest);
    const digester = digesterOf(ingest);
    // Until both are done the hash and the file may disagree: without a digester the file would be read again.
    ingest.digester = undefined;
    const written = writeFully(fd, bytes, ingest.offset);
    await Promise.all([written, digestSlices(digester, bytes)]);
    ingest.digester = digester;
    ingest.offset += bytes.length;
    ingest.updatedAt = this.options.store.now();
  }

  async truncate(): Promise<void> {
    const { ingest, fd } = await this.own(true);
    if (ingest.offset === 0) return;
    ingest.digester = undefined;
    await forgetHash(ingest.folder);
    ingest.kept.offset = 0;
    await truncateFile(fd, 0);
    ingest.offset = 0;
    ingest.digester = createIngestDigester(ingest.total);
  }

  protected override progressOf({ ingest }: IngestTarget): IngestProgress {
    const { offset, total, startedAt, updatedAt } = ingest;
    return { offset, total, startedAt, updatedAt };
  }

  protected override digestOf({ ingest }: IngestTarget): Digest {
    return digesterOf(ingest).digest();
  }

  protected override async begin(totalBytes: number): Promise<IngestTarget> {
    const ingest = await this.options.store.createIngest(this.options.backendRef, totalBytes);
    return { kind: "ingest", ingest, fd: await openData(ingest) };
  }

  protected override async copy({ digest }: SharedTarget, { ingest, fd }: IngestTarget): Promise<void> {
    const source = await openFile(this.options.store.layout.blob(digest), constants.O_RDONLY);
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

  protected override async close({ ingest, fd }: IngestTarget): Promise<void> {
    await closeFile(fd);
    if (this.options.store.ingests.get(this.options.backendRef) !== ingest) return;
    await Promise.all([saveUpdated(ingest), keepHash(ingest, true)]);
  }

  /** Source: containerd plugins/content/local/writer.go, Commit. */
  protected override async commitIngest({ ingest, fd }: IngestTarget, options: CommitOptions): Promise<Digest> {
    const { store } = this.options;
    const digest = await this.#verified(ingest, options.expected);
    using _lock = await store.mutex.lock(digest);
    const blob = store.layout.blob(digest);
    if ((await sizeOf(blob)) !== ingest.offset) await this.#publish(ingest, fd, digest, blob);
    const labels = options.labels ?? noLabels;
    const existed = await store.record({ ...this.options, labels }, digest, ingest.offset);
    store.forgetIngest(ingest);
    if (existed) throw alreadyExists(`content ${digest}`);
    return digest;
  }

  async #verified(ingest: Ingest, expected: Digest | undefined): Promise<Digest> {
    let digest = digesterOf(ingest).digest();
    if (expected === undefined) return digest;
    if (digestProblem(expected) === undefined && algorithmOf(expected) !== algorithmOf(digest)) {
      const digester = createDigester(algorithmOf(expected));
      await digestFile(dataPath(ingest.folder), digester, this.options.store.signal);
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
        this.options.store.ensureBlobFolder(digest),
      ]);
      await rename(dataPath(ingest.folder), blob);
      this.options.store.blobs.forget(blob);
      await syncFolder(this.options.store.blobFolder(digest));
    } catch (error) {
      throw wrapFault(`commit ${digest}`, error);
    }
  }
}

function digesterOf(ingest: Ingest): NonNullable<Ingest["digester"]> {
  if (ingest.digester === undefined) throw failedPrecondition("the ingest's last write failed: open it again");
  return ingest.digester;
}
