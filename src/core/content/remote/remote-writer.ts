import { algorithmOf, type Digest, digestProblem } from "../../../lib/digest.ts";
import { alreadyExists, failedPrecondition, isFault } from "../../../lib/faults.ts";
import {
  type CommitOptions,
  type IngestProgress,
  NamedWriter,
  type NamedWriterOptions,
  noLabels,
  type SharedTarget,
} from "../named-writer.ts";
import type { BackendCall } from "./backend.ts";
import type { BackendWrite } from "./backend-write.ts";
import type { RemoteContent } from "./remote-content.ts";

/** An ingest there. */
export interface RemoteTarget {
  readonly kind: "ingest";
  readonly write: BackendWrite;
  readonly total: number;
}

export interface RemoteWriterOptions extends NamedWriterOptions<RemoteContent, RemoteTarget> {
  readonly call: BackendCall;
}

/** Writes into another process's store. */
export class RemoteWriter extends NamedWriter<RemoteContent, RemoteTarget, RemoteWriterOptions> {
  /** There is none that a worker here could read. */
  file(): undefined {
    return undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const { write } = await this.own(false);
    await write.write(bytes, this.options.store.now());
  }

  async truncate(): Promise<void> {
    const { write } = await this.own(true);
    write.truncate();
  }

  protected override progressOf({ write, total }: RemoteTarget): IngestProgress {
    const { offset, startedAt, updatedAt } = write;
    return { offset, total, startedAt, updatedAt };
  }

  protected override digestOf({ write }: RemoteTarget): Digest {
    return write.digest;
  }

  protected override async begin(totalBytes: number): Promise<RemoteTarget> {
    const { store, backendRef, call } = this.options;
    const write = await store.openWrite(call, backendRef, totalBytes);
    if (write.offset > 0) write.truncate();
    return { kind: "ingest", write, total: totalBytes };
  }

  protected override async copy({ digest, sizeBytes }: SharedTarget, { write }: RemoteTarget): Promise<void> {
    const { store, call } = this.options;
    for await (const piece of store.backend.read(call, digest, 0, sizeBytes)) await write.write(piece, store.now());
  }

  protected override async close({ write }: RemoteTarget): Promise<void> {
    await write[Symbol.asyncDispose]();
  }

  protected override async commitIngest(
    { write }: RemoteTarget,
    { expected, labels = noLabels }: CommitOptions,
  ): Promise<Digest> {
    const { store, backendRef, call } = this.options;
    const digest = this.#promised(write, expected);
    const { offset } = write;
    using _lock = await store.mutex.lock(digest);
    await this.#noteUnlessThere(digest);
    const hadIt = await commitThere(write, expected, digest);
    if (hadIt && (await store.backend.find(call, digest)) !== offset) {
      throw failedPrecondition(`content ${digest} of the proxy plugin has another size than ${offset} bytes`);
    }
    const existed = await store.record({ ...this.options, labels }, digest, offset, (tx) => {
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
    const { store, namespace, call } = this.options;
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
