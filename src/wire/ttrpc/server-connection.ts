import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Socket } from "bun";
import { type Request, RequestSchema, ResponseSchema } from "../../gen/ttrpc/ttrpc_pb.ts";
import { FaultError, fault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { CallTracer } from "../observer.ts";
import { statusOf } from "../status.ts";
import { CallContext } from "./call-context.ts";
import { FrameWriter } from "./frame-writer.ts";
import { type Frame, FrameParser, frameFlags, frameTypes, maxPayloadBytes } from "./frames.ts";
import { Inbox } from "./inbox.ts";
import type { Method, MethodTable } from "./method-table.ts";

/** Calls that one connection may have under way; a Wait for each of thousands of tasks fits. */
const maxCalls = 16384;

/** Messages of a streaming caller that wait for the handler. */
const inboxCapacity = 1024;

const noBytes = new Uint8Array(0);

interface Call {
  readonly ctx: CallContext;
  readonly inbox: Inbox | undefined;
}

type Tracing = ReturnType<CallTracer["begin"]>;

export interface ServerConnectionParts {
  readonly methods: MethodTable;
  readonly log: Logger;
  readonly tracer: CallTracer | undefined;
  /** Of callers who name none. */
  readonly namespace: string | undefined;
}

/** One accepted connection: reads requests, runs the methods, writes what they answer. */
export class ServerConnection {
  readonly #methods: MethodTable;
  readonly #namespace: string | undefined;
  readonly #log: Logger;
  readonly #tracer: CallTracer | undefined;
  readonly #writer: FrameWriter;
  readonly #parser = new FrameParser((frame) => this.#accept(frame));
  readonly #calls = new Map<number, Call>();
  #lastStream = 0;

  constructor(socket: Socket<unknown>, { methods, log, tracer, namespace }: ServerConnectionParts) {
    this.#namespace = namespace;
    this.#methods = methods;
    this.#log = log;
    this.#tracer = tracer;
    this.#writer = new FrameWriter(socket);
  }

  data(chunk: Uint8Array): void {
    this.#parser.push(chunk);
  }

  drain(): void {
    this.#writer.drain();
  }

  /** The caller is gone: cancels what it asked for. */
  closed(): void {
    const reason = fault("canceled", "");
    this.#writer.close();
    for (const call of this.#calls.values()) {
      call.ctx.abort(reason);
      call.inbox?.end(reason);
    }
    this.#calls.clear();
  }

  #accept(frame: Frame): void {
    const refusal = this.#refusal(frame);
    if (refusal !== undefined) return this.#respond(frame.stream, refusal, noBytes);
    if (frame.type === frameTypes.data) this.#acceptData(frame);
    else if (frame.type === frameTypes.request) this.#acceptRequest(frame);
    // Frames of unknown types are ignored, as ttrpc does for the future's sake.
  }

  #refusal({ stream, type, oversized }: Frame): FaultError | undefined {
    if (oversized) {
      return new FaultError("resourceExhausted", `message length exceeds maximum message size of ${maxPayloadBytes}`);
    }
    if (stream % 2 !== 1) {
      return new FaultError("invalidArgument", "StreamID must be odd for client initiated streams");
    }
    if (type === frameTypes.request && stream <= this.#lastStream) {
      return new FaultError("invalidArgument", "StreamID cannot be re-used and must increment");
    }
    return undefined;
  }

  #acceptData(frame: Frame): void {
    const inbox = this.#calls.get(frame.stream)?.inbox;
    if (inbox === undefined) {
      const gone = new FaultError("invalidArgument", "StreamID is no longer active");
      return this.#respond(frame.stream, gone, noBytes);
    }
    if ((frame.flags & frameFlags.noData) === 0) inbox.push(frame.payload);
    if ((frame.flags & frameFlags.remoteClosed) !== 0) inbox.end();
  }

  #acceptRequest(frame: Frame): void {
    this.#lastStream = frame.stream;
    try {
      const request = fromBinary(RequestSchema, frame.payload);
      const method = this.#find(request);
      if (this.#calls.size >= maxCalls) throw fault("resourceExhausted", `${maxCalls} calls on one connection`);
      this.#run(frame, request, method);
    } catch (error) {
      this.#respond(frame.stream, this.#faultOf(error, "decode request"), noBytes);
    }
  }

  #find(request: Request): Method {
    const methods = this.#methods.get(request.service);
    if (methods === undefined) throw new FaultError("notImplemented", `service ${request.service}`);
    const method = methods.get(request.method);
    if (method?.run === undefined) throw new FaultError("notImplemented", `method ${request.method}`);
    return method;
  }

  #run(frame: Frame, request: Request, method: Method): void {
    const kind = method.desc.methodKind;
    const inbox = kind === "unary" || kind === "server_streaming" ? undefined : new Inbox(inboxCapacity);
    const ctx = new CallContext(request, this.#log, this.#namespace);
    this.#calls.set(frame.stream, { ctx, inbox });
    if (inbox !== undefined && request.payload.length > 0) inbox.push(request.payload);
    if (inbox !== undefined && (frame.flags & frameFlags.remoteOpen) === 0) inbox.end();
    const input = inbox === undefined ? this.#decode(method, request.payload) : this.#decodeAll(method, inbox);
    const { namespace, metadata } = ctx;
    const tracing = this.#tracer?.begin({ method: method.desc, namespace, metadata });
    ctx.trace = tracing?.trace;
    void this.#answer(frame.stream, method, ctx, input, tracing);
  }

  /** Runs the method to its end; nothing that it throws gets past here. */
  async #answer(
    stream: number,
    method: Method,
    ctx: CallContext,
    input: unknown,
    tracing: Tracing | undefined,
  ): Promise<void> {
    const { desc, run } = method;
    let failure: FaultError | undefined;
    try {
      if (input instanceof FaultError) throw input;
      if (desc.methodKind === "unary" || desc.methodKind === "client_streaming") {
        const output = await run?.(ctx, input);
        this.#respond(stream, undefined, this.#encode(method, output));
      } else {
        await this.#stream(stream, method, ctx, run?.(ctx, input) as AsyncIterable<unknown>);
      }
    } catch (error) {
      failure = this.#faultOf(error, `${desc.parent.typeName}/${desc.name}`);
      this.#respond(stream, failure, noBytes);
    } finally {
      if (tracing !== undefined) tell(tracing, failure);
      ctx[Symbol.dispose]();
      this.#calls.get(stream)?.inbox?.end();
      this.#calls.delete(stream);
    }
  }

  async #stream(stream: number, method: Method, ctx: CallContext, messages: AsyncIterable<unknown>): Promise<void> {
    for await (const message of messages) {
      if (ctx.aborted) return;
      this.#writer.send(stream, frameTypes.data, 0, this.#encode(method, message));
      await this.#writer.writable();
    }
    this.#writer.send(stream, frameTypes.data, frameFlags.remoteClosed | frameFlags.noData, noBytes);
  }

  #decode(method: Method, payload: Uint8Array): unknown {
    try {
      return fromBinary(method.desc.input, payload);
    } catch (error) {
      return new FaultError("invalidArgument", `unmarshal request error: ${messageOf(error)}`);
    }
  }

  async *#decodeAll(method: Method, inbox: Inbox): AsyncIterable<unknown> {
    for await (const payload of inbox) yield fromBinary(method.desc.input, payload);
  }

  #encode(method: Method, message: unknown): Uint8Array {
    const schema = method.desc.output;
    return toBinary(schema, create(schema, (message ?? {}) as MessageInitShape<typeof schema>));
  }

  #respond(stream: number, error: FaultError | undefined, payload: Uint8Array): void {
    const response = create(
      ResponseSchema,
      error === undefined ? { payload } : { status: statusOf(error), payload: noBytes },
    );
    this.#writer.send(stream, frameTypes.response, 0, toBinary(ResponseSchema, response));
  }

  #faultOf(error: unknown, what: string): FaultError {
    if (error instanceof FaultError) return error;
    this.#log.error("a call failed in a way that nothing expected", {
      call: what,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    return new FaultError("unknown", messageOf(error), { cause: error });
  }
}

/** Ends what traces a call with the status that the caller got. */
function tell(tracing: Tracing, failure: FaultError | undefined): void {
  const { code, message } = failure === undefined ? { code: 0, message: "" } : statusOf(failure);
  tracing.ended(code, message);
}
