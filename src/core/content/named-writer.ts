import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { alreadyExists, failedPrecondition, quote } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import { checkLabels, requireLabelKeys } from "../../lib/labels.ts";
import type { ContentWriter, IngestStatus } from "./content.ts";
import type { NamedContent } from "./named-content.ts";

export type CommitOptions = Parameters<ContentWriter["commit"]>[1];

/** How far an ingest is. */
export type IngestProgress = Pick<IngestStatus, "offset" | "total" | "startedAt" | "updatedAt">;

/** A blob that is there already, for another namespace. */
export interface SharedTarget {
  readonly kind: "shared";
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly startedAt: Instant;
}

export interface NamedWriterOptions<S extends NamedContent, I> {
  readonly store: S;
  readonly namespace: string;
  readonly ref: string;
  readonly backendRef: string;
  readonly lease: string | undefined;
  readonly mediaType: string | undefined;
  /** What it works on: bytes of its own, or a blob that need not be brought again. */
  readonly target: I | SharedTarget;
}

export const noLabels: ReadonlyMap<string, string> = new Map();

/**
 * The one writer of a ref: what is checked of it, and how it ends, wherever the bytes go. Not for concurrent calls: each waits
 * for the one before.
 * Source: containerd core/metadata/content.go, namespacedWriter.
 */
export abstract class NamedWriter<
  S extends NamedContent,
  I extends { readonly kind: "ingest" },
  O extends NamedWriterOptions<S, I> = NamedWriterOptions<S, I>,
> implements ContentWriter
{
  protected readonly options: O;
  #target: I | SharedTarget | undefined;

  constructor(options: O) {
    this.options = options;
    this.#target = options.target;
  }

  status(): IngestStatus {
    const { ref } = this.options;
    const target = this.open();
    if (target.kind === "ingest") return { ref, expected: undefined, ...this.progressOf(target) };
    const { sizeBytes, startedAt, digest } = target;
    return { ref, offset: sizeBytes, total: sizeBytes, expected: digest, startedAt, updatedAt: startedAt };
  }

  digest(): Digest {
    const target = this.open();
    return target.kind === "shared" ? target.digest : this.digestOf(target);
  }

  async commit(_ctx: Ctx, options: CommitOptions): Promise<Digest> {
    const target = this.open();
    try {
      const labels = options.labels ?? noLabels;
      checkLabels(labels, "info.Labels");
      this.#checkSize(options.sizeBytes);
      requireLabelKeys(labels);
      return await (target.kind === "shared"
        ? this.#commitShared(target, options)
        : this.commitIngest(target, options));
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const target = this.#target;
    if (target === undefined) return;
    this.#target = undefined;
    try {
      if (target.kind === "ingest") await this.close(target);
    } finally {
      this.options.store.locks.delete(this.options.backendRef);
    }
  }

  abstract file(): string | undefined;
  abstract write(bytes: Uint8Array): Promise<void>;
  abstract truncate(): Promise<void>;

  protected abstract progressOf(target: I): IngestProgress;
  protected abstract digestOf(target: I): Digest;
  /** Begins an empty ingest under the writer's ref. */
  protected abstract begin(totalBytes: number): Promise<I>;
  /** Puts a blob's bytes into an empty ingest. */
  protected abstract copy(shared: SharedTarget, target: I): Promise<void>;
  protected abstract commitIngest(target: I, options: CommitOptions): Promise<Digest>;
  /** Lets go of an ingest, which stays for whoever goes on with it unless it was committed. */
  protected abstract close(target: I): Promise<void>;

  /** Errors: failedPrecondition (the writer has ended). */
  protected open(): I | SharedTarget {
    if (this.#target === undefined) throw failedPrecondition("cannot commit on closed writer");
    return this.#target;
  }

  /** An ingest of one's own; out of a shared blob one is made first, with a copy of it unless it is to be empty. */
  protected async own(empty: boolean): Promise<I> {
    const target = this.open();
    if (target.kind === "ingest") return target;
    const own = await this.begin(empty ? 0 : target.sizeBytes);
    this.#target = own;
    if (!empty && target.sizeBytes > 0) await this.copy(target, own);
    return own;
  }

  #checkSize(wanted: number | undefined): void {
    const { offset } = this.status();
    if (wanted === undefined || wanted === 0 || wanted === offset) return;
    throw failedPrecondition(`${quote(this.options.ref)} failed size validation: ${offset} != ${wanted}`);
  }

  async #commitShared({ digest, sizeBytes }: SharedTarget, options: CommitOptions): Promise<Digest> {
    if (options.expected !== undefined && options.expected !== digest) {
      throw failedPrecondition(`${quote(this.options.ref)} unexpected digest`);
    }
    const { store } = this.options;
    const labels = options.labels ?? noLabels;
    if (await store.record({ ...this.options, labels }, digest, sizeBytes)) throw alreadyExists(`content ${digest}`);
    return digest;
  }
}
