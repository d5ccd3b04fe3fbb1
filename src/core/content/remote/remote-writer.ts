import type { Ctx } from "../../../lib/ctx.ts";
import { algorithmOf, type Digest, digestProblem } from "../../../lib/digest.ts";
import { alreadyExists, failedPrecondition, isFault, quote } from "../../../lib/faults.ts";
import type { Instant } from "../../../lib/instant.ts";
import { checkLabels, requireLabelKeys } from "../../../lib/labels.ts";
import type { ContentWriter, IngestStatus } from "../content.ts";
import type { BackendCall } from "./backend.ts";
import type { BackendWrite } from "./backend-write.ts";
import type { RemoteContent } from "./remote-content.ts";

type CommitOptions = Parameters<ContentWriter["commit"]>[1];

/** What a writer works on: an ingest there, or a blob that is there already. */
export type RemoteTarget =
  | { readonly kind: "ingest"; readonly write: BackendWrite; readonly total: number }
  | { readonly kind: "shared"; readonly digest: Digest; readonly sizeBytes: number; readonly startedAt: Instant };

export interface RemoteWriterOptions {
  readonly store: RemoteContent;
  readonly namespace: string;
  readonly ref: string;
  readonly backendRef: string;
  readonly lease: string | undefined;
  readonly mediaType: string | undefined;
  readonly call: BackendCall;
  readonly target: RemoteTarget;
}

const noLabels: ReadonlyMap<string, string> = new Map();

/** The one writer of a ref. Not for concurrent calls: each waits for the one before. */
export class RemoteWriter implements ContentWriter {
  readonly #store: RemoteContent;
  readonly #options: RemoteWriterOptions;
  #target: RemoteTarget | undefined;

  constructor(options: RemoteWriterOptions) {
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
    const { offset, startedAt, updatedAt } = target.write;
    return { ref, offset, total: target.total, expected: undefined, startedAt, updatedAt };
  }

  digest(): Digest {
    const target = this.#open();
    return target.kind === "shared" ? target.digest : target.write.digest;
  }

  /** There is none that a worker here could read. */
  file(): undefined {
    return undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const { write } = await this.#own(false);
    await write.write(bytes, this.#store.now());
  }

  async truncate(): Promise<void> {
    const { write } = await this.#own(true);
    write.truncate();
  }

  /** Source: containerd core/metadata/content.go, namespacedWriter.Commit. */
  async commit(_ctx: Ctx, options: CommitOptions): Promise<Digest> {
    const target = this.#open();
    try {
      const labels = options.labels ?? noLabels;
      checkLabels(labels, "info.Labels");
      this.#checkSize(options.sizeBytes);
      requireLabelKeys(labels);
      return target.kind === "shared"
        ? await this.#commitShared(target, options)
        : await this.#commitWrite(target.write, options);
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const target = this.#target;
    if (target === undefined) return;
    this.#target = undefined;
    try {
      if (target.kind === "ingest") await target.write[Symbol.asyncDispose]();
    } finally {
      this.#store.locks.delete(this.#options.backendRef);
    }
  }

  #open(): RemoteTarget {
    if (this.#target === undefined) throw failedPrecondition("cannot commit on closed writer");
    return this.#target;
  }

  #checkSize(wanted: number | undefined): void {
    const { offset } = this.status();
    if (wanted === undefined || wanted === 0 || wanted === offset) return;
    throw failedPrecondition(`${quote(this.#options.ref)} failed size validation: ${offset} != ${wanted}`);
  }

  /** An ingest of one's own; out of a shared blob one is made first, with a copy of it unless it is to be empty. */
  async #own(empty: boolean): Promise<Extract<RemoteTarget, { kind: "ingest" }>> {
    const target = this.#open();
    if (target.kind === "ingest") return target;
    const { backendRef, call } = this.#options;
    const total = empty ? 0 : target.sizeBytes;
    const write = await this.#store.openWrite(call, backendRef, total);
    const own = { kind: "ingest", write, total } as const;
    this.#target = own;
    if (write.offset > 0) write.truncate();
    if (empty || target.sizeBytes === 0) return own;
    for await (const piece of this.#store.backend.read(call, target.digest, 0, target.sizeBytes)) {
      await write.write(piece, this.#store.now());
    }
    return own;
  }

  async #commitShared(target: Extract<RemoteTarget, { kind: "shared" }>, options: CommitOptions): Promise<Digest> {
    const { digest, sizeBytes } = target;
    if (options.expected !== undefined && options.expected !== digest) {
      throw failedPrecondition(`${quote(this.#options.ref)} unexpected digest`);
    }
    const { labels = noLabels } = options;
    if (await this.#store.record({ ...this.#options, labels }, digest, sizeBytes)) {
      throw alreadyExists(`content ${digest}`);
    }
    return digest;
  }

  async #commitWrite(write: BackendWrite, { expected, labels = noLabels }: CommitOptions): Promise<Digest> {
    const { store, backendRef, call } = this.#options;
    const digest = this.#promised(write, expected);
    const { offset } = write;
    using _lock = await store.mutex.lock(digest);
    await this.#noteUnlessThere(digest);
    const hadIt = await commitThere(write, expected, digest);
    if (hadIt && (await store.backend.find(call, digest)) !== offset) {
      throw failedPrecondition(`content ${digest} of the proxy plugin has another size than ${offset} bytes`);
    }
    const existed = await store.record({ ...this.#options, labels }, digest, offset, (tx) => {
      store.removals.forget(tx, { kind: "blob", name: digest });
      // A commit ends the ingest there; whether one that changed nothing does is not said.
      if (!hadIt) store.removals.forget(tx, { kind: "ingest", name: backendRef });
    });
    if (hadIt) store.removeNoted();
    if (existed) throw alreadyExists(`content ${digest}`);
    return digest;
  }

  /** The digest under which the blob will be. Errors: failedPrecondition. */
  #promised(write: BackendWrite, expected: Digest | undefined): Digest {
    const { digest } = write;
    if (expected === undefined || expected === digest) return digest;
    if (digestProblem(expected) === undefined && algorithmOf(expected) !== algorithmOf(digest)) return expected;
    throw failedPrecondition(`unexpected commit digest ${digest}, expected ${expected}`);
  }

  /** Should this process die before the row is written, nobody would know of the blob. */
  async #noteUnlessThere(digest: Digest): Promise<void> {
    const { store, namespace, call } = this.#options;
    if ((await store.backend.find(call, digest)) !== undefined) return;
    await store.metadata.update((tx) => {
      store.removals.note(tx, { kind: "blob", namespace, name: digest });
    });
  }
}

/** True when the other process had the blob already. */
async function commitThere(write: BackendWrite, expected: Digest | undefined, promised: Digest): Promise<boolean> {
  try {
    const digest = await write.commit(expected);
    if (digest !== promised) throw failedPrecondition(`unexpected commit digest ${digest}, expected ${promised}`);
    return false;
  } catch (error) {
    if (isFault(error, "alreadyExists")) return true;
    throw error;
  }
}
