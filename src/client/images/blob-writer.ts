import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WriteContentRequestSchema } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { fault, isFault } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { randomHex } from "../names.ts";

export interface BlobOptions {
  readonly lease?: string | undefined;
  /** The digest, where it is known before; a blob that is there already is then not sent. */
  readonly expected?: string | undefined;
  readonly totalBytes?: number | undefined;
}

export interface WrittenBlob {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Pieces of a message are cut to this: gRPC servers take 4 MiB by default, containerd 16. */
const pieceBytes = 1024 * 1024;
const [actionWrite, actionCommit] = [1, 2] as const;

type WriteMessage = MessageInitShape<typeof WriteContentRequestSchema>;

/**
 * Writes one blob into the content store, piece by piece, hashing on the way.
 * Shape: `write` settles when the piece is handed on, so that a slow daemon slows the caller.
 * Errors: what the daemon says, from `write` or `commit`; a blob that is there already is no failure.
 */
export class BlobWriter {
  readonly #hasher = new Bun.CryptoHasher("sha256");
  readonly #ref = `lighter-${randomHex(24)}`;
  readonly #client: Client;
  readonly #options: BlobOptions;
  #sent = 0;
  #next: { message: WriteMessage | undefined; taken: () => void } | undefined;
  #wake: (() => void) | undefined;
  #present = false;
  #closed = false;
  #failure: unknown;
  readonly #answers: Promise<void>;

  constructor(client: Client, options: BlobOptions) {
    this.#client = client;
    this.#options = options;
    this.#answers = this.#readAnswers(client);
  }

  get sizeBytes(): number {
    return this.#sent;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hasher.update(bytes);
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const data = bytes.subarray(at, at + pieceBytes);
      await this.#send({ action: actionWrite, offset: BigInt(this.#sent), data });
      this.#sent += data.length;
    }
  }

  /** Makes the blob durable. Errors: failedPrecondition when it is not what was expected. */
  async commit(labels: Readonly<Record<string, string>> = {}): Promise<WrittenBlob> {
    const digest = `sha256:${this.#hasher.digest("hex")}`;
    const { expected } = this.#options;
    if (expected !== undefined && expected !== digest) {
      await this.abort();
      throw fault("failedPrecondition", `blob is ${digest}, not ${expected}`);
    }
    await this.#send({
      action: actionCommit,
      offset: BigInt(this.#sent),
      total: BigInt(this.#sent),
      expected: digest,
      labels: { ...labels },
    });
    await this.#send(undefined);
    await this.#answers;
    if (this.#failure !== undefined) throw this.#failure as Error;
    return { digest, sizeBytes: this.#sent };
  }

  /** Stops, and has the daemon forget what was written. Effects: fails never; the failure before it is the one to tell. */
  async abort(): Promise<void> {
    try {
      await this.#send(undefined);
      await this.#answers;
      await this.#client.content.abort({ ref: this.#ref }, { lease: this.#options.lease });
    } catch {
      // Nothing was written yet, or the daemon is gone: it drops what nobody goes on with.
    }
  }

  async #send(message: WriteMessage | undefined): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure as Error;
    if (this.#present || this.#closed) return;
    await new Promise<void>((resolve) => {
      this.#next = { message, taken: resolve };
      this.#wake?.();
    });
    if (this.#failure !== undefined) throw this.#failure as Error;
  }

  async *#requests(): AsyncGenerator<WriteMessage> {
    const { expected, totalBytes } = this.#options;
    let first = true;
    for (;;) {
      if (this.#next === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      const next = this.#next;
      this.#next = undefined;
      if (next?.message === undefined) {
        next?.taken();
        return;
      }
      const head = first
        ? {
            ref: this.#ref,
            ...(expected === undefined ? {} : { expected }),
            ...(totalBytes === undefined ? {} : { total: BigInt(totalBytes) }),
          }
        : {};
      first = false;
      yield { ...head, ...next.message };
      next.taken();
    }
  }

  async #readAnswers(client: Client): Promise<void> {
    try {
      for await (const _ of client.content.write(this.#requests(), { lease: this.#options.lease })) {
        // Offsets are only of use to who resumes.
      }
    } catch (error) {
      // The daemon has it already: then there is nothing to send.
      if (isFault(error, "alreadyExists")) this.#present = true;
      else this.#failure = error;
    } finally {
      this.#closed = true;
      this.#next?.taken();
      this.#next = undefined;
    }
  }
}

/** Writes a small blob at once. */
export async function writeDocument(
  client: Client,
  bytes: Uint8Array,
  options: BlobOptions & { readonly labels?: Readonly<Record<string, string>> },
): Promise<WrittenBlob> {
  const writer = new BlobWriter(client, options);
  await writer.write(bytes);
  return await writer.commit(options.labels);
}
