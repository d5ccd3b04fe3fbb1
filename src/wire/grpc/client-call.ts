import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { FaultError, fault, messageOf } from "../../lib/faults.ts";
import { CallTimer } from "../call-timer.ts";
import { errorCode, type HeaderBlock, headerValue, type Stream, type StreamHandler } from "../http2/index.ts";
import type { CallOptions } from "../service.ts";
import type { MessageEncoder } from "./message-encoder.ts";
import { MessageStream } from "./message-stream.ts";
import { faultOfTrailers } from "./status-fields.ts";

/** One call as its caller sees it: answers in `answers`, whose end or fault is the call's. */
export class ClientCall implements StreamHandler {
  readonly answers: MessageStream<unknown>;
  /** Set by whoever opens the stream. */
  stream: Stream | undefined;
  readonly #options: CallOptions;
  readonly #timer: CallTimer | undefined;
  #httpStatus: string | undefined;
  #over = false;
  #writable: (() => void) | undefined;

  constructor(method: DescMethod, options: CallOptions, maxReceiveBytes: number) {
    this.#options = options;
    this.answers = new MessageStream({
      maxBytes: maxReceiveBytes,
      decode: (payload) => decodeAnswer(method, payload),
      credit: (bytes) => this.stream?.credit(bytes),
      left: () => this.#leave(),
    });
    if (options.timeoutMs !== undefined) {
      this.#timer = new CallTimer(options.timeoutMs, () => this.abort(fault("deadlineExceeded", "")));
    }
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get over(): boolean {
    return this.#over;
  }

  /** Ends the call from this side. */
  abort(reason: FaultError): void {
    if (this.#over) return;
    this.stream?.reset(errorCode.cancel);
    this.#end(reason);
  }

  /** Sends the messages one by one, as fast as the server takes them. */
  async sendAll(messages: AsyncIterable<unknown>, encoder: MessageEncoder): Promise<void> {
    try {
      for await (const message of messages) {
        if (this.#over) return;
        const { head, bulk } = encoder.encodeForStream(message);
        this.stream?.sendMessage(head, false, bulk);
        if (this.stream?.full === true) await this.#drained();
        if (this.#over) return;
      }
      this.stream?.end();
    } catch (error) {
      this.abort(error instanceof FaultError ? error : new FaultError("unknown", messageOf(error), { cause: error }));
    }
  }

  onHeaders(block: HeaderBlock): void {
    this.#httpStatus = headerValue(block.fields, ":status");
  }

  onData(bytes: Buffer, end: boolean): boolean {
    this.answers.push(bytes);
    if (end) this.#end(new FaultError("internal", "server closed the stream without sending trailers"));
    return true;
  }

  onTrailers(block: HeaderBlock): void {
    this.#end(faultOfTrailers(block.fields, this.#httpStatus ?? headerValue(block.fields, ":status")));
  }

  onReset(code: number, message: string): void {
    this.#end(resetFault(code, message));
  }

  onWritable(): void {
    this.#writable?.();
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#options.signal?.reason;
    this.abort(reason instanceof FaultError ? reason : fault("canceled", "", { cause: reason }));
  };

  #leave(): void {
    this.stream?.reset(errorCode.cancel);
    this.#end(undefined);
  }

  #end(reason: FaultError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.[Symbol.dispose]();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.answers.close(reason);
    this.#writable?.();
  }

  async #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#writable = resolve;
    await promise;
    this.#writable = undefined;
  }
}

function decodeAnswer(method: DescMethod, payload: Uint8Array): unknown {
  try {
    return fromBinary(method.output, payload);
  } catch (error) {
    throw new FaultError("internal", `grpc: failed to unmarshal the received message: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Source: gRPC over HTTP/2, "Errors". */
function resetFault(code: number, message: string): FaultError {
  if (code === errorCode.refusedStream || message !== "the stream was reset")
    return new FaultError("unavailable", message);
  if (code === errorCode.cancel) return fault("canceled", "");
  if (code === errorCode.enhanceYourCalm) return new FaultError("resourceExhausted", "the server has too much to do");
  return new FaultError("internal", `stream terminated by RST_STREAM with error code: ${code}`);
}
