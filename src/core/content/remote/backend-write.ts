import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type Content,
  WriteAction,
  type WriteContentRequestSchema,
  type WriteContentResponse,
} from "../../../gen/containerd/services/content/v1/content_pb.ts";
import { BoundedQueue } from "../../../lib/bounded-queue.ts";
import { type Digest, digestOf, parseDigest } from "../../../lib/digest.ts";
import { fault, unavailable } from "../../../lib/faults.ts";
import { Instant } from "../../../lib/instant.ts";
import type { ServiceClient } from "../../../wire/service.ts";
import type { BackendCall } from "./backend.ts";

type Request = MessageInitShape<typeof WriteContentRequestSchema>;

/** How much one message carries. */
const messageBytes = 1 << 20;
const nothing: Digest = digestOf("");

/**
 * An ingest of another process while it is written: one message is answered before the next is sent.
 * Source: containerd core/content/proxy/content_writer.go.
 */
export class BackendWrite implements AsyncDisposable {
  readonly startedAt: Instant;
  #updatedAt: Instant;
  #offset: number;
  #digest: string;
  readonly #requests: BoundedQueue<Request>;
  readonly #responses: AsyncIterator<WriteContentResponse>;

  private constructor(
    first: WriteContentResponse,
    requests: BoundedQueue<Request>,
    responses: AsyncIterator<WriteContentResponse>,
  ) {
    this.startedAt = first.startedAt === undefined ? Instant.ofMs(0) : Instant.of(first.startedAt);
    this.#updatedAt = first.updatedAt === undefined ? this.startedAt : Instant.of(first.updatedAt);
    this.#offset = Number(first.offset);
    this.#digest = first.digest;
    this.#requests = requests;
    this.#responses = responses;
  }

  /** Errors: unavailable (nobody answers, or the ref is locked there). */
  static async open(
    client: ServiceClient<typeof Content>,
    call: BackendCall,
    ref: string,
    total: number,
  ): Promise<BackendWrite> {
    const requests = new BoundedQueue<Request>({ maxItems: 1, maxBytes: Number.POSITIVE_INFINITY });
    const responses = client.write(requests, call)[Symbol.asyncIterator]();
    try {
      const first = await exchange(requests, responses, { action: WriteAction.STAT, ref, total: BigInt(total) });
      return new BackendWrite(first, requests, responses);
    } catch (error) {
      requests.close();
      throw error;
    }
  }

  get offset(): number {
    return this.#offset;
  }

  get updatedAt(): Instant {
    return this.#updatedAt;
  }

  /** Of everything that was written so far, as the other process says. */
  get digest(): Digest {
    return parseDigest(this.#digest);
  }

  async write(bytes: Uint8Array, now: Instant): Promise<void> {
    for (let at = 0; at < bytes.length; at += messageBytes) {
      const data = bytes.subarray(at, at + messageBytes) as Uint8Array<ArrayBuffer>;
      const request = { action: WriteAction.WRITE, offset: BigInt(this.#offset), data };
      const { offset, digest } = await exchange(this.#requests, this.#responses, request);
      const wanted = this.#offset + data.length;
      if (Number(offset) !== wanted) throw fault("dataLoss", `write ended at ${offset} bytes, not at ${wanted}`);
      this.#offset = wanted;
      this.#digest = digest;
    }
    this.#updatedAt = now;
  }

  /** Begins anew; the other process hears of it with the next write or commit, whose offset is 0. */
  truncate(): void {
    this.#offset = 0;
    this.#digest = nothing;
  }

  /** Errors: alreadyExists (it has the blob already), failedPrecondition (size or digest differ). */
  async commit(expected: Digest | undefined): Promise<Digest> {
    const request = { action: WriteAction.COMMIT, offset: BigInt(this.#offset), total: BigInt(this.#offset) };
    const answer = await exchange(this.#requests, this.#responses, { ...request, expected: expected ?? "" });
    return parseDigest(answer.digest);
  }

  /** Settles once the other process has let go of the ref. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.close();
    try {
      while ((await this.#responses.next()).done !== true);
    } catch {
      // How a write ends that nobody goes on with matters to nobody; what did not get through was told before.
    }
  }
}

async function exchange(
  requests: BoundedQueue<Request>,
  responses: AsyncIterator<WriteContentResponse>,
  request: Request,
): Promise<WriteContentResponse> {
  if (!requests.push(request, 0)) throw unavailable("the write has ended");
  const { done, value } = await responses.next();
  if (done === true) throw unavailable("the other process ended the write");
  return value;
}
