import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  WriteAction,
  type WriteContentRequest,
  type WriteContentResponseSchema,
} from "../../gen/containerd/services/content/v1/content_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { FaultError, isFault, messageOf } from "../../lib/faults.ts";
import { labelMap } from "../../lib/labels.ts";
import type { ContentStore, ContentWriter } from "./content.ts";

type Response = MessageInitShape<typeof WriteContentResponseSchema>;
/** One response is filled over a session: what a message does not set keeps its last value, as containerd's. */
interface Answer {
  action?: WriteAction;
  offset?: bigint;
  total?: bigint;
  digest?: string;
  startedAt?: Timestamp;
  updatedAt?: Timestamp;
}

/**
 * A write from its first message, which names the ref and locks it, to its commit or the client's end.
 * Source: containerd plugins/services/content/contentserver/contentserver.go, Write.
 */
export async function* writeContent(
  store: ContentStore,
  ctx: Ctx,
  requests: AsyncIterable<WriteContentRequest>,
): AsyncGenerator<Response> {
  let session: WriteSession | undefined;
  try {
    for await (const request of requests) {
      session ??= await openSession(store, ctx, request);
      yield await session.handle(request);
      if (request.action === WriteAction.COMMIT) return;
    }
    if (session === undefined) throw new FaultError("unknown", "EOF");
  } finally {
    await session?.close();
  }
}

async function openSession(store: ContentStore, ctx: Ctx, first: WriteContentRequest): Promise<WriteSession> {
  const { ref } = first;
  if (ref === "") throw new FaultError("invalidArgument", "first message must have a reference");
  const total = Number(first.total);
  const expected = first.expected === "" ? undefined : (first.expected as Digest);
  return new WriteSession(
    store,
    ctx,
    ref,
    total,
    expected,
    await store.writer(ctx, { ref, total: Math.max(total, 0), expected }),
  );
}

class WriteSession {
  readonly #store: ContentStore;
  readonly #ctx: Ctx;
  readonly #ref: string;
  readonly #writer: ContentWriter;
  #total: number;
  #expected: Digest | undefined;
  #answer: Answer = {};

  constructor(
    store: ContentStore,
    ctx: Ctx,
    ref: string,
    total: number,
    expected: Digest | undefined,
    writer: ContentWriter,
  ) {
    this.#store = store;
    this.#ctx = ctx;
    this.#ref = ref;
    this.#total = total;
    this.#expected = expected;
    this.#writer = writer;
  }

  async handle(request: WriteContentRequest): Promise<Response> {
    const { offset } = this.#writer.status();
    this.#answer.action = request.action;
    this.#answer.offset = BigInt(offset);
    // One that is malformed is that of nothing: it is the commit that fails.
    if (request.expected !== "") await this.#expect(request.expected as Digest);
    if (request.total > 0n) this.#total = Number(request.total);
    const { action } = request;
    if (action === WriteAction.STAT) this.#stat();
    else if (action === WriteAction.WRITE || action === WriteAction.COMMIT) await this.#write(request, offset);
    return { ...this.#answer };
  }

  close(): Promise<void> {
    return Promise.resolve(this.#writer[Symbol.asyncDispose]());
  }

  /** Content that came in by another way meanwhile ends the write. */
  async #expect(expected: Digest): Promise<void> {
    this.#expected = expected;
    try {
      this.#store.info(this.#ctx, expected);
    } catch (error) {
      if (isFault(error, "notFound")) return;
      throw error;
    }
    await this.close();
    await this.#store.abort(this.#ctx, this.#ref).catch((error: unknown) => {
      this.#ctx.log.error("failed to abort write", { ref: this.#ref, error: messageOf(error) });
    });
    throw new FaultError("alreadyExists", `blob with expected digest ${expected} exists`);
  }

  #stat(): void {
    const status = this.#writer.status();
    this.#answer.digest = this.#writer.digest();
    this.#answer.startedAt = status.startedAt.toTimestamp();
    this.#answer.updatedAt = status.updatedAt.toTimestamp();
    this.#answer.total = BigInt(this.#total);
  }

  async #write(request: WriteContentRequest, offset: number): Promise<void> {
    const wanted = Number(request.offset);
    if (wanted > 0 && wanted !== offset) {
      throw new FaultError("outOfRange", `write @${wanted} must occur at current offset ${offset}`);
    }
    if (wanted === 0 && offset > 0) {
      await this.#writer.truncate();
      this.#answer.offset = 0n;
    }
    if (request.data.length > 0) {
      await this.#writer.write(request.data);
      this.#answer.offset = (this.#answer.offset ?? 0n) + BigInt(request.data.length);
    }
    // Asked for first: a commit closes the writer.
    if (request.action !== WriteAction.COMMIT) this.#answer.digest = this.#writer.digest();
    else this.#answer.digest = await this.#commit(request);
  }

  #commit(request: WriteContentRequest): Promise<Digest> {
    return this.#writer.commit(this.#ctx, {
      sizeBytes: this.#total,
      labels: labelMap(request.labels),
      ...(this.#expected === undefined ? {} : { expected: this.#expected }),
    });
  }
}
