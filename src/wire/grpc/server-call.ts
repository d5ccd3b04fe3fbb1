import { fromBinary } from "@bufbuild/protobuf";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, fault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { HeaderBlock, Stream, StreamHandler } from "../http2/index.ts";
import { statusOf } from "../status.ts";
import type { Deadlines, Expiring, Slot } from "./deadlines.ts";
import { metadataOf, type RequestHead, type Route } from "./routes.ts";
import { answerHeaders, okTrailers, statusOnly, statusTrailers } from "./status-fields.ts";

/** What all calls of a server share. */
export interface CallShared {
  readonly log: Logger;
  readonly deadlines: Deadlines;
  readonly maxReceiveBytes: number;
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

  constructor(stream: Stream, shared: CallShared, head: RequestHead, route: Route) {
    this.stream = stream;
    this.shared = shared;
    this.route = route;
    this.#head = head;
    this.#deadline = head.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + head.timeoutMs;
  }

  get namespace(): string | undefined {
    return this.#head.namespace;
  }

  get lease(): string | undefined {
    return this.#head.lease;
  }

  get log(): Logger {
    return this.shared.log;
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

  abstract onData(bytes: Buffer, end: boolean): boolean;
  abstract onTrailers(block: HeaderBlock): void;

  onHeaders(): void {}

  onReset(_code: number, _message: string): void {
    this.cancel(fault("canceled", ""));
  }

  onWritable(): void {
    this.#writable?.();
  }

  /** The deadline passed: the work is told to stop, and the caller hears at once. */
  expire(): void {
    if (this.done) return;
    const reason = fault("deadlineExceeded", "");
    this.#answerFault(reason);
    this.cancel(reason);
  }

  /** Tells the work to stop; nothing more is answered. */
  protected cancel(reason: FaultError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#finish();
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
    let output: unknown;
    try {
      output = this.route.call(this, input);
    } catch (error) {
      this.fail(error);
      return;
    }
    const kind = this.route.method.methodKind;
    if (kind === "server_streaming" || kind === "bidi_streaming") {
      this.#watchDeadline();
      void this.#answerAll(output as AsyncIterable<unknown>);
    } else if (output instanceof Promise) {
      this.#watchDeadline();
      output.then(
        (value) => this.#answerOne(value),
        (error: unknown) => this.fail(error),
      );
    } else {
      this.#answerOne(output);
    }
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
    this.#begin();
    this.stream.sendMessage(bytes);
    this.stream.end(okTrailers);
    this.#finish();
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
          this.#finish();
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
      this.#begin();
      this.stream.sendMessage(head, false, bulk);
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
    this.#finish();
  }

  #finish(): void {
    this.done = true;
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
    const { method } = this.route;
    this.log.error("a call failed unexpectedly", {
      method: `/${method.parent.typeName}/${method.name}`,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }
}
