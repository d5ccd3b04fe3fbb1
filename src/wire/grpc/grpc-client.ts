import type { DescMethod, DescService, MessageInitShape } from "@bufbuild/protobuf";
import { abortFault } from "../../lib/ctx.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { formatTimeout } from "../grpc-timeouts.ts";
import {
  type ClientTls,
  type Connection,
  connectHttp2,
  type Endpoint,
  type HeaderFields,
  HeaderTemplate,
} from "../http2/index.ts";
import type { CallOptions, ClientConnection, ServiceClient } from "../service.ts";
import { ClientCall } from "./client-call.ts";
import { gzipMessage } from "./gzip.ts";
import { defaultGrpcLimits, type GrpcLimits } from "./limits.ts";
import { MessageEncoder } from "./message-encoder.ts";

export interface GrpcClientOptions {
  readonly limits?: Partial<GrpcLimits>;
  /** Over TCP alone; without, nothing is encrypted. */
  readonly tls?: ClientTls | undefined;
  /** Whether the only request of a call is sent packed. */
  readonly gzip?: boolean | undefined;
}

/** What all calls of a connection say of it. */
interface Manner {
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly gzip: boolean;
}

type Input = MessageInitShape<DescMethod["input"]>;

/**
 * Connects to a gRPC server on a unix socket or TCP. A connection that is lost stays lost.
 * Errors: unavailable (nobody listens there; over TLS, somebody else does).
 */
export async function connectGrpc(endpoint: Endpoint, options: GrpcClientOptions = {}): Promise<ClientConnection> {
  const limits = { ...defaultGrpcLimits, ...options.limits };
  const closed = Promise.withResolvers<Error | undefined>();
  try {
    const connection = await connectHttp2(endpoint, { limits, onClosed: closed.resolve, tls: options.tls });
    const manner: Manner = {
      scheme: options.tls === undefined ? "http" : "https",
      authority: "path" in endpoint ? "localhost" : hostAndPort(endpoint),
      gzip: options.gzip === true,
    };
    return new GrpcConnection(connection, closed.promise, limits.maxReceiveBytes, manner);
  } catch (error) {
    const where = "path" in endpoint ? endpoint.path : hostAndPort(endpoint);
    throw new FaultError("unavailable", `connect to ${where}: ${reasonOf(error)}`, { cause: error });
  }
}

function hostAndPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Why nobody answered, in the system's words; Bun says only that it failed. */
function reasonOf(error: unknown): string {
  const words: Readonly<Record<string, string>> = {
    ENOENT: "no such file or directory",
    ECONNREFUSED: "connection refused",
    EACCES: "permission denied",
    EPERM: "permission denied",
    ETIMEDOUT: "connection timed out",
  };
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return words[code] ?? messageOf(error);
}

class GrpcConnection implements ClientConnection {
  readonly closed: Promise<Error | undefined>;
  readonly #connection: Connection;
  readonly #maxReceiveBytes: number;
  readonly #manner: Manner;

  constructor(connection: Connection, closed: Promise<Error | undefined>, maxReceiveBytes: number, manner: Manner) {
    this.#connection = connection;
    this.closed = closed;
    this.#maxReceiveBytes = maxReceiveBytes;
    this.#manner = manner;
  }

  client<S extends DescService>(desc: S, defaults: CallOptions = {}): ServiceClient<S> {
    const functions: Record<string, unknown> = {};
    for (const method of desc.methods) functions[method.localName] = this.#function(method, defaults);
    return functions as ServiceClient<S>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.terminate();
    await this.closed;
  }

  #function(method: DescMethod, defaults: CallOptions): unknown {
    // What calls with these defaults have in common is sent in a few bytes after the first.
    const template = new HeaderTemplate(requestFields(method, { ...defaults, timeoutMs: undefined }, this.#manner));
    const encoder = new MessageEncoder(method.input);
    const open = (options: CallOptions | undefined): ClientCall => this.#open(method, template, defaults, options);
    const sendOne = (request: Input, options: CallOptions | undefined): ClientCall => {
      const bytes = encoder.encode(request);
      const call = open(options);
      call.stream?.sendMessage(bytes, true);
      return call;
    };
    const sendMany = (requests: AsyncIterable<Input>, options: CallOptions | undefined): ClientCall => {
      const call = open(options);
      void call.sendAll(requests, encoder);
      return call;
    };
    const sendPacked = async (request: Input, options: CallOptions | undefined): Promise<ClientCall> => {
      const bytes = await gzipMessage(encoder.encode(request));
      const call = open(options);
      call.stream?.sendData(bytes);
      call.stream?.end();
      return call;
    };
    switch (method.methodKind) {
      case "unary":
        if (this.#manner.gzip)
          return async (request: Input, options?: CallOptions) => onlyAnswer(await sendPacked(request, options));
        return async (request: Input, options?: CallOptions) => onlyAnswer(sendOne(request, options));
      case "server_streaming":
        return (request: Input, options?: CallOptions) => sendOne(request, options).answers;
      case "client_streaming":
        return async (requests: AsyncIterable<Input>, options?: CallOptions) => onlyAnswer(sendMany(requests, options));
      default:
        return (requests: AsyncIterable<Input>, options?: CallOptions) => sendMany(requests, options).answers;
    }
  }

  #open(
    method: DescMethod,
    template: HeaderTemplate,
    defaults: CallOptions,
    given: CallOptions | undefined,
  ): ClientCall {
    const options = given === undefined ? defaults : withDefaults(defaults, given);
    const call = new ClientCall(method, options, this.#maxReceiveBytes);
    const refusal = this.#refusal(options);
    if (refusal !== undefined) {
      call.abort(refusal);
      return call;
    }
    const plain = options.timeoutMs === undefined && sameHeaders(options, defaults);
    call.stream = this.#connection.open(plain ? template : requestFields(method, options, this.#manner), call);
    return call;
  }

  #refusal(options: CallOptions): FaultError | undefined {
    const connection = this.#connection;
    if (options.signal?.aborted === true) return abortFault(options.signal);
    if (connection.closed) return new FaultError("unavailable", "the connection is closed");
    if (connection.draining) return new FaultError("unavailable", "the server is going away");
    if (connection.streams.size < connection.peerMaxStreams) return undefined;
    return new FaultError("resourceExhausted", `more than ${connection.peerMaxStreams} calls at once`);
  }
}

/** What a call leaves undefined comes from the client's defaults. */
function withDefaults(defaults: CallOptions, given: CallOptions): CallOptions {
  return {
    signal: given.signal ?? defaults.signal,
    timeoutMs: given.timeoutMs ?? defaults.timeoutMs,
    namespace: given.namespace ?? defaults.namespace,
    lease: given.lease ?? defaults.lease,
    metadata: given.metadata ?? defaults.metadata,
  };
}

function sameHeaders(a: CallOptions, b: CallOptions): boolean {
  return a.namespace === b.namespace && a.lease === b.lease && a.metadata === b.metadata;
}

function requestFields(method: DescMethod, options: CallOptions, manner: Manner): HeaderFields {
  const fields = [
    ":method",
    "POST",
    ":scheme",
    manner.scheme,
    ":path",
    `/${method.parent.typeName}/${method.name}`,
    ":authority",
    manner.authority,
    "te",
    "trailers",
    "content-type",
    "application/grpc",
    "user-agent",
    "lighter",
  ];
  if (manner.gzip) fields.push("grpc-encoding", "gzip");
  if (options.namespace !== undefined) fields.push("containerd-namespace", options.namespace);
  if (options.lease !== undefined) fields.push("containerd-lease", options.lease);
  if (options.timeoutMs !== undefined) fields.push("grpc-timeout", formatTimeout(options.timeoutMs));
  for (const [name, value] of options.metadata ?? []) fields.push(name.toLowerCase(), value);
  return fields;
}

async function onlyAnswer(call: ClientCall): Promise<unknown> {
  const first = await call.answers.next();
  if (first.done === true) throw new FaultError("internal", "the server sent no answer");
  // The status comes after the message.
  const second = await call.answers.next();
  if (second.done !== true) throw new FaultError("internal", "the server sent more than one answer");
  return first.value;
}
