import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Socket } from "bun";
import { RequestSchema, type Response, ResponseSchema } from "../../gen/ttrpc/ttrpc_pb.ts";
import { abortFault } from "../../lib/ctx.ts";
import { fault, messageOf, unavailable } from "../../lib/faults.ts";
import { CallTimer } from "../call-timer.ts";
import type { CallOptions } from "../service.ts";
import { faultOf } from "../status.ts";
import { metadataKeys } from "./call-context.ts";
import { FrameWriter } from "./frame-writer.ts";
import { type Frame, FrameParser, frameFlags, frameTypes, maxPayloadBytes } from "./frames.ts";
import { Inbox } from "./inbox.ts";

/** Messages of a server's stream that the reader has not taken; ttrpc can't hold the server back. */
const inboxCapacity = 8192;

const noBytes = new Uint8Array(0);

/** Where the frames of one call go. */
interface Receiver {
  frame(frame: Frame): void;
  fail(error: Error): void;
}

/** The calls under way on one connection, by stream id. */
export class ClientCalls {
  readonly #writer: FrameWriter;
  readonly #parser = new FrameParser((frame) => this.#receive(frame));
  readonly #receivers = new Map<number, Receiver>();
  readonly #socket: Socket<undefined>;
  #nextStream = 1;
  #gone: Error | undefined;

  constructor(socket: Socket<undefined>) {
    this.#socket = socket;
    this.#writer = new FrameWriter(socket);
  }

  data(chunk: Uint8Array): void {
    this.#parser.push(chunk);
  }

  drain(): void {
    this.#writer.drain();
  }

  closed(error: Error | undefined): void {
    this.#end(unavailable("ttrpc: closed", error === undefined ? undefined : { cause: error }));
  }

  #end(reason: Error): void {
    if (this.#gone !== undefined) return;
    this.#gone = reason;
    this.#writer.close();
    for (const receiver of this.#receivers.values()) receiver.fail(reason);
    this.#receivers.clear();
  }

  /** The function with which callers call one method. */
  method(desc: DescMethod, defaults: CallOptions): unknown {
    type Input = MessageInitShape<typeof desc.input>;
    const merge = (options: CallOptions = {}): CallOptions => ({ ...defaults, ...options });
    switch (desc.methodKind) {
      case "unary":
        return async (request: Input, options?: CallOptions) =>
          this.#unary(desc, this.#open(desc, encode(desc, request), 0, merge(options)), merge(options));
      case "server_streaming":
        return (request: Input, options?: CallOptions) =>
          this.#read(desc, encode(desc, request), frameFlags.remoteClosed, undefined, merge(options));
      case "client_streaming":
        return async (requests: AsyncIterable<Input>, options?: CallOptions) => {
          const stream = this.#open(desc, noBytes, frameFlags.remoteOpen, merge(options));
          return this.#unary(desc, stream, merge(options), this.#pump(desc, stream, requests));
        };
      case "bidi_streaming":
        return (requests: AsyncIterable<Input>, options?: CallOptions) =>
          this.#read(desc, noBytes, frameFlags.remoteOpen, requests, merge(options));
      default:
        throw fault("internal", "a method of no known kind");
    }
  }

  #open(desc: DescMethod, payload: Uint8Array, flags: number, options: CallOptions): number {
    if (this.#gone !== undefined) throw this.#gone;
    if (options.signal?.aborted) throw abortFault(options.signal);
    const metadata: { key: string; value: string }[] = [];
    for (const [key, value] of options.metadata ?? []) metadata.push({ key, value });
    if (options.namespace !== undefined) metadata.push({ key: metadataKeys.namespace, value: options.namespace });
    if (options.lease !== undefined) metadata.push({ key: metadataKeys.lease, value: options.lease });
    const timeoutNano = nanoseconds(options.timeoutMs ?? 0);
    const request = create(RequestSchema, {
      service: desc.parent.typeName,
      method: desc.name,
      payload,
      timeoutNano,
      metadata,
    });
    const bytes = toBinary(RequestSchema, request);
    if (bytes.length > maxPayloadBytes) throw tooLong(bytes.length);
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#writer.send(stream, frameTypes.request, flags, bytes);
    return stream;
  }

  #unary(desc: DescMethod, stream: number, options: CallOptions, pump?: Promise<void>): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const stop = this.#watch(stream, options, reject);
    this.#receivers.set(stream, {
      frame: (frame) => {
        try {
          resolve(decode(desc, responseOf(desc, frame).payload));
        } catch (error) {
          reject(error);
        }
      },
      fail: reject,
    });
    pump?.catch(reject);
    return promise.finally(() => {
      stop();
      this.#receivers.delete(stream);
    });
  }

  async *#read(
    desc: DescMethod,
    payload: Uint8Array,
    flags: number,
    requests: AsyncIterable<MessageInitShape<typeof desc.input>> | undefined,
    options: CallOptions,
  ): AsyncGenerator<unknown, void, undefined> {
    const stream = this.#open(desc, payload, flags, options);
    const inbox = new Inbox(inboxCapacity);
    const stop = this.#watch(stream, options, (error) => inbox.end(error));
    this.#receivers.set(stream, {
      frame: (frame) => receiveInto(desc, inbox, frame),
      fail: (error) => inbox.end(error),
    });
    if (requests !== undefined) this.#pump(desc, stream, requests).catch((error) => inbox.end(error));
    try {
      for await (const message of inbox) yield decode(desc, message);
    } finally {
      stop();
      this.#receivers.delete(stream);
    }
  }

  async #pump(
    desc: DescMethod,
    stream: number,
    requests: AsyncIterable<MessageInitShape<typeof desc.input>>,
  ): Promise<void> {
    for await (const request of requests) {
      const bytes = encode(desc, request);
      if (bytes.length > maxPayloadBytes) throw tooLong(bytes.length);
      this.#writer.send(stream, frameTypes.data, 0, bytes);
      await this.#writer.writable();
      if (!this.#receivers.has(stream)) return;
    }
    this.#writer.send(stream, frameTypes.data, frameFlags.remoteClosed | frameFlags.noData, noBytes);
  }

  /** Fails the call when its signal fires or its time is over; returns what stops the watch. */
  #watch(stream: number, options: CallOptions, fail: (error: Error) => void): () => void {
    const { signal, timeoutMs } = options;
    const onAbort = (): void => {
      this.#receivers.delete(stream);
      if (signal !== undefined) fail(abortFault(signal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer =
      timeoutMs === undefined || timeoutMs <= 0
        ? undefined
        : new CallTimer(timeoutMs, () => {
            this.#receivers.delete(stream);
            fail(fault("deadlineExceeded", ""));
          });
    return () => {
      signal?.removeEventListener("abort", onAbort);
      timer?.[Symbol.dispose]();
    };
  }

  #receive(frame: Frame): void {
    if (this.#gone !== undefined) return;
    if (frame.stream % 2 === 0 || frame.stream >= this.#nextStream) {
      // What follows has no meaning either: no call would ever be answered.
      this.#end(unavailable(`ttrpc: the server sent what is no answer (a frame for stream ${frame.stream})`));
      this.#socket.terminate();
      return;
    }
    const receiver = this.#receivers.get(frame.stream);
    // An answer to a call that was given up; nobody waits for it.
    if (receiver === undefined) return;
    if (frame.oversized) receiver.fail(tooLong(maxPayloadBytes + 1));
    else receiver.frame(frame);
  }
}

/** The longest time that the wire's 64-bit number of nanoseconds can say, as milliseconds; a longer one is none. */
const longestTimeoutMs = 9e12;

/** A time-out as the wire has it; 0 stands for none. */
function nanoseconds(timeoutMs: number): bigint {
  return timeoutMs > longestTimeoutMs ? 0n : BigInt(Math.ceil(timeoutMs * 1e6));
}

function receiveInto(desc: DescMethod, inbox: Inbox, frame: Frame): void {
  try {
    if (frame.type === frameTypes.response) {
      const response = responseOf(desc, frame);
      if (response.payload.length > 0) inbox.push(response.payload);
      return inbox.end();
    }
    if ((frame.flags & frameFlags.noData) === 0) inbox.push(frame.payload);
    if ((frame.flags & frameFlags.remoteClosed) !== 0) inbox.end();
  } catch (error) {
    inbox.end(error instanceof Error ? error : new Error(String(error)));
  }
}

/** A response frame's message. Errors: the fault that the server sent; internal for a frame of another type. */
function responseOf(desc: DescMethod, frame: Frame): Response {
  if (frame.type !== frameTypes.response) throw fault("internal", `unexpected frame type ${frame.type}`);
  const response = readAnswer(desc, ResponseSchema, frame.payload);
  if (response.status !== undefined && response.status.code !== 0) {
    throw faultOf(response.status.code, response.status.message);
  }
  return response;
}

function encode(desc: DescMethod, message: MessageInitShape<typeof desc.input>): Uint8Array {
  return toBinary(desc.input, create(desc.input, message));
}

/** Errors: internal when the bytes are no message of that type. */
function decode(desc: DescMethod, payload: Uint8Array): unknown {
  return readAnswer(desc, desc.output, payload);
}

function readAnswer<D extends DescMessage>(desc: DescMethod, schema: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    const method = `${desc.parent.name}.${desc.name}`;
    throw fault("internal", `the answer of ${method} can't be read: ${messageOf(error)}`, { cause: error });
  }
}

const tooLong = (length: number): Error =>
  fault("resourceExhausted", `message length ${length} exceeds maximum message size of ${maxPayloadBytes}`);
