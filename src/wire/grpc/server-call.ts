import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, fault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { logFor, type Trace } from "../../lib/trace.ts";
import { codeOf } from "../codes.ts";
import type { HeaderBlock, Stream, StreamHandler } from "../http2/index.ts";
import type { CallObserver, CallRecord, CallUnderWay } from "../observer.ts";
import { statusOf } from "../status.ts";
import type { Deadlines, Expiring, Slot } from "./deadlines.ts";
import { metadataOf, type RequestHead, type Route } from "./routes.ts";
import { answerHeaders, okTrailers, statusOnly, statusTrailers } from "./status-fields.ts";

/** What all calls of a server share. The sizes may change while it serves. */
export interface CallShared {
  readonly log: Logger;
  readonly deadlines: Deadlines;
  maxReceiveBytes: number;
  maxSendBytes: number;
  readonly observer: CallObserver | undefined;
}

/** What a call has beside that when it takes longer than a turn of the loop, logs, or is observed: most do none of these. */
interface CallMore {
  /** When its request was there, on performance.now's clock. */
  readonly since: number;
  step: string | undefined;
  log: Logger | undefined;
  record: CallRecord | undefined;
}

/**
 * One call from its headers to its trailers. It is the context that its implementation gets as well, so that a call
 * that needs nothing of it costs one object.
 */
export abstract class ServerCall implements Ctx, StreamHandler, Expiring {
  protected readonly stream: Stream;
  protected readonly shared: CallShared;
  protected readonly route: Route;
  /** Answered, or nobody waits for the answer any more. */
  protected done = false;
  readonly #head: RequestHead;
  readonly #deadline: number;
  #slot: Slot | undefined;
  #controller: AbortController | undefined;
  #reason: FaultError | undefined;
  #begun = false;
  #answers: AsyncIterator<unknown> | undefined;
  #writable: (() => void) | undefined;
  #more: CallMore | undefined;

  constructor(stream: Stream, shared: CallShared, head: RequestHead, route: Route) {
    this.stream = stream;
    this.shared = shared;
    this.route = route;
    this.#head = head;
    this.#deadline = head.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + head.timeoutMs;
  }

  get method(): DescMethod {
    return this.route.method;
  }

  /** Its request is there when it runs; one that is not tells of its messages as they come. */
  protected abstract readonly receivesOne: boolean;
  /** The implementation waits for a message that has not come. */
  protected abstract readonly waitsForClient: boolean;

  get namespace(): string | undefined {
    return this.#head.namespace;
  }

  get lease(): string | undefined {
    return this.#head.lease;
  }

  /** Lines of a call that belongs to a trace have its id. */
  get log(): Logger {
    const more = this.#moreOf();
    return (more.log ??= logFor(this, this.shared.log));
  }

  get trace(): Trace | undefined {
    return this.#more?.record?.trace;
  }

  get step(): string | undefined {
    return this.#more?.step;
  }

  set step(step: string | undefined) {
    this.#moreOf().step = step;
  }

  get metadata(): ReadonlyMap<string, string> {
    return metadataOf(this.#head);
  }

  get aborted(): boolean {
    return this.#reason !== undefined || this.#late;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#late) this.expire();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** The call as one that is under way; undefined once it is answered. */
  underWay(): CallUnderWay | undefined {
    if (this.done) return undefined;
    return {
      method: this.#name,
      namespace: this.namespace,
      metadata: this.metadata,
      since: this.#more?.since ?? this.stream.heardAt,
      deadline: this.#deadline === Number.POSITIVE_INFINITY ? undefined : this.#deadline,
      step: this.#doing,
      fd: this.stream.fd,
    };
  }

  abstract onData(bytes: Buffer, end: boolean): boolean;
  abstract onTrailers(block: HeaderBlock): void;

  onHeaders(): void {}

  onReset(_code: number, _message: string): void {
    this.cancel(fault("canceled", ""));
  }

  onWritable(): void {
    this.#writable?.();
  }

  /** The deadline passed. */
  expire(): void {
    this.interrupt(fault("deadlineExceeded", ""));
  }

  /** The work is told to stop, and the caller hears at once. */
  interrupt(reason: FaultError): void {
    if (this.done) return;
    this.#answerFault(reason);
    this.cancel(reason);
  }

  /** Its method, while it is not answered. */
  get pending(): DescMethod | undefined {
    return this.done ? undefined : this.route.method;
  }

  /** Tells the work to stop; nothing more is answered. */
  protected cancel(reason: FaultError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#finish(codeOf[reason.kind], reason.message);
    this.#controller?.abort(reason);
    this.#writable?.();
    // A generator that waits for its reader, or for something of its own that knows how to be left, cleans up now.
    this.#leave();
  }

  /** Runs the implementation. A synchronous unary one is answered before this returns. */
  protected run(input: unknown): void {
    if (this.#late) {
      this.expire();
      return;
    }
    if (this.shared.observer !== undefined) this.#observe(this.shared.observer);
    let output: unknown;
    try {
      output = this.route.call(this, input);
    } catch (error) {
      this.fail(error);
      return;
    }
    const kind = this.route.method.methodKind;
    if (kind === "server_streaming" || kind === "bidi_streaming") {
      this.#moreOf();
      this.#watchDeadline();
      void this.#answerAll(output as AsyncIterable<unknown>);
    } else if (output instanceof Promise) {
      this.#moreOf();
      this.#watchDeadline();
      output.then(
        (value) => this.#answerOne(value),
        (error: unknown) => this.fail(error),
      );
    } else {
      this.#answerOne(output);
    }
  }

  /** Another message of the caller's was read. */
  protected received(): void {
    this.#more?.record?.received();
  }

  protected decode(payload: Uint8Array): unknown {
    try {
      return fromBinary(this.route.method.input, payload);
    } catch (error) {
      throw new FaultError("internal", `grpc: error unmarshalling request: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Answers with a failure. What is not a fault is a mistake of ours: it is logged with its stack. */
  protected fail(error: unknown): void {
    if (this.done) return;
    if (!(error instanceof FaultError)) this.#logBug(error);
    this.#answerFault(error);
  }

  get #late(): boolean {
    return this.#deadline !== Number.POSITIVE_INFINITY && performance.now() >= this.#deadline;
  }

  #watchDeadline(): void {
    if (this.done || this.#slot !== undefined || this.#deadline === Number.POSITIVE_INFINITY) return;
    this.#slot = this.shared.deadlines.add(this, this.#deadline);
  }

  #answerOne(output: unknown): void {
    if (this.done) return;
    let bytes: Uint8Array;
    try {
      bytes = this.route.answers.encode(output);
    } catch (error) {
      this.#failToEncode(error);
      return;
    }
    if (bytes.length > this.shared.maxSendBytes) {
      this.#answerFault(tooLarge("grpc: ", bytes.length, this.shared.maxSendBytes));
      return;
    }
    this.#begin();
    this.stream.sendMessage(bytes);
    this.stream.end(okTrailers);
    this.#more?.record?.sent();
    this.#finish(0, "");
  }

  async #answerAll(answers: AsyncIterable<unknown>): Promise<void> {
    try {
      const iterator = answers[Symbol.asyncIterator]();
      this.#answers = iterator;
      while (!this.done) {
        const step = await iterator.next();
        if (this.done) break;
        if (step.done === true) {
          this.#answers = undefined;
          this.#begin();
          this.stream.end(okTrailers);
          this.#finish(0, "");
          return;
        }
        this.#answerNext(step.value);
        if (this.stream.full) await this.#drained();
      }
      this.#leave();
    } catch (error) {
      this.#answers = undefined;
      this.fail(error);
    }
  }

  #answerNext(output: unknown): void {
    try {
      const { head, bulk } = this.route.answers.encodeForStream(output);
      const size = head.length + (bulk?.length ?? 0);
      if (size > this.shared.maxSendBytes) {
        this.#answerFault(tooLarge("", size, this.shared.maxSendBytes));
        return;
      }
      this.#begin();
      this.stream.sendMessage(head, false, bulk);
      this.#more?.record?.sent();
    } catch (error) {
      this.#failToEncode(error);
    }
  }

  /** Waits until the reader has taken enough, or will never. */
  async #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#writable = resolve;
    await promise;
    this.#writable = undefined;
  }

  #leave(): void {
    const answers = this.#answers;
    this.#answers = undefined;
    answers?.return?.().catch((error: unknown) => this.log.debug("a stream's source failed to close", { error }));
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.stream.sendHeaders(answerHeaders);
  }

  #answerFault(error: unknown): void {
    if (this.done) return;
    const status = statusOf(error);
    const { maxHeaderList } = this.stream;
    if (this.#begun) this.stream.end(statusTrailers(status, maxHeaderList));
    else this.stream.sendHeaders(statusOnly(status, maxHeaderList), true);
    this.#finish(status.code, status.message);
  }

  #finish(code: number, message: string): void {
    this.done = true;
    if (this.#more?.record !== undefined) this.#tellEnd(this.#more, code, message);
    if (this.#slot === undefined) return;
    this.shared.deadlines.remove(this, this.#slot);
    this.#slot = undefined;
  }

  /** Source: grpc-go rpc_util.go, encode. */
  #failToEncode(error: unknown): void {
    this.#logBug(error);
    this.#answerFault(
      new FaultError("internal", `grpc: error while marshaling: ${messageOf(error)}`, { cause: error }),
    );
  }

  #logBug(error: unknown): void {
    this.log.error("a call failed unexpectedly", {
      method: this.#name,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }

  get #name(): string {
    const { method } = this.route;
    return `/${method.parent.typeName}/${method.name}`;
  }

  /** What holds the call up, as far as it can be told from here. */
  get #doing(): string {
    if (this.#more === undefined) return "waits for the rest of the request";
    if (this.#writable !== undefined) return "waits for the client to read";
    return this.waitsForClient ? "waits for the client's next message" : (this.step ?? "works");
  }

  #moreOf(): CallMore {
    return (this.#more ??= { since: this.stream.heardAt, step: undefined, log: undefined, record: undefined });
  }

  #observe(observer: CallObserver): void {
    const record = observer.begin(this);
    this.#moreOf().record = record;
    if (this.receivesOne) record.received();
  }

  #tellEnd(more: CallMore, code: number, message: string): void {
    more.record?.ended(code, message);
    more.record = undefined;
  }
}

/** Source: grpc-go server.go, sendResponse; stream.go, serverStream.SendMsg. */
function tooLarge(prefix: string, size: number, most: number): FaultError {
  return new FaultError("resourceExhausted", `${prefix}trying to send message larger than max (${size} vs. ${most})`);
}
