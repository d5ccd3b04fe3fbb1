import { create } from "@bufbuild/protobuf";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { type Logger, silentLogger } from "../../lib/log.ts";
import {
  type ConnectionHandler,
  createHttp2Server,
  type Endpoint,
  type HeaderBlock,
  type Http2Server,
  type ListeningSocket,
  type Lookout,
  type Stream,
  type StreamHandler,
} from "../http2/index.ts";
import type { ServiceDefinition } from "../service.ts";
import { Deadlines } from "./deadlines.ts";
import { defaultGrpcLimits, type GrpcLimits } from "./limits.ts";
import type { CallObserver, CallUnderWay } from "./observer.ts";
import { Routes } from "./routes.ts";
import { type CallShared, ServerCall } from "./server-call.ts";
import { SingleRequestCall } from "./single-request-call.ts";
import { statusOnly } from "./status-fields.ts";
import { StreamRequestCall } from "./stream-request-call.ts";

export interface GrpcServerOptions {
  readonly services: readonly ServiceDefinition[];
  readonly log?: Logger;
  readonly limits?: Partial<GrpcLimits>;
  /** How long a connection may say nothing before it is pinged. Source: grpc-go's default. */
  readonly keepaliveMs?: number;
  /** Looks out for the next call of a client that calls in a loop. */
  readonly lookout?: Lookout | undefined;
  /** Hears of every call. */
  readonly observer?: CallObserver | undefined;
}

/** Serves gRPC over HTTP/2 on unix sockets and TCP, over TLS where it is told to. */
export interface GrpcServer {
  /** Returns the port, 0 for a path. A socket file is made with `mode`, by default 0660. Errors: what listen gives. */
  listen(endpoint: Endpoint | ListeningSocket): Promise<number>;
  /** Serves on a socket that listens already until it is disposed of; calls under way go on. */
  serve(socket: ListeningSocket): Disposable;
  /** Changes what the messages of calls from now on may have. */
  limitMessages(limits: Pick<GrpcLimits, "maxReceiveBytes" | "maxSendBytes">): void;
  /** Stops listening, lets the calls in progress end for so long, then cancels them and hangs up. */
  close(graceMs: number): Promise<void>;
  /** The calls that are under way; for people, since it looks at every open stream. */
  calls(): readonly CallUnderWay[];
  /** How many connections there are. */
  readonly connections: number;
}

const defaultKeepaliveMs = 2 * 3600 * 1000;

/** Makes a server of these services. Errors: alreadyExists (one service twice). */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  return new Http2GrpcServer(options);
}

class Http2GrpcServer implements GrpcServer, ConnectionHandler {
  readonly #routes: Routes;
  readonly #http2: Http2Server;
  readonly #deadlines = new Deadlines();
  readonly #shared: CallShared;

  constructor(options: GrpcServerOptions) {
    const limits = { ...defaultGrpcLimits, ...options.limits };
    this.#routes = new Routes(options.services);
    this.#shared = {
      log: options.log ?? silentLogger,
      deadlines: this.#deadlines,
      maxReceiveBytes: limits.maxReceiveBytes,
      maxSendBytes: limits.maxSendBytes,
      observer: options.observer,
    };
    this.#http2 = createHttp2Server({
      limits,
      keepaliveMs: options.keepaliveMs ?? defaultKeepaliveMs,
      lookout: options.lookout,
      accept: () => this,
    });
  }

  listen(endpoint: Endpoint | ListeningSocket): Promise<number> {
    return this.#http2.listen(endpoint);
  }

  serve(socket: ListeningSocket): Disposable {
    return this.#http2.serve(socket);
  }

  limitMessages({ maxReceiveBytes, maxSendBytes }: Pick<GrpcLimits, "maxReceiveBytes" | "maxSendBytes">): void {
    this.#shared.maxReceiveBytes = maxReceiveBytes;
    this.#shared.maxSendBytes = maxSendBytes;
  }

  async close(graceMs: number): Promise<void> {
    await this.#http2.close(graceMs);
    this.#deadlines[Symbol.dispose]();
  }

  get connections(): number {
    return this.#http2.connections.size;
  }

  calls(): readonly CallUnderWay[] {
    const streams = [...this.#http2.connections].flatMap((connection) => [...connection.streams.values()]);
    return streams.flatMap(({ handler }) => (handler instanceof ServerCall ? (handler.underWay() ?? []) : []));
  }

  onStream(stream: Stream, block: HeaderBlock, end: boolean): StreamHandler | undefined {
    const head = this.#routes.head(block);
    if (head.route === undefined || head.rejection !== undefined) {
      const { httpStatus, code, message } = head.rejection!;
      stream.sendHeaders(statusOnly(create(StatusSchema, { code, message }), stream.maxHeaderList, httpStatus), true);
      return undefined;
    }
    const kind = head.route.method.methodKind;
    if (kind === "unary" || kind === "server_streaming") {
      const call = new SingleRequestCall(stream, this.#shared, head, head.route);
      if (end) call.onTrailers();
      return call;
    }
    const call = new StreamRequestCall(stream, this.#shared, head, head.route);
    // Set before the implementation runs: it may end the call at once.
    stream.handler = call;
    call.start(end);
    return call;
  }

  onClosed(error: Error | undefined): void {
    if (error !== undefined) this.#shared.log.debug("a connection ended", { error });
  }
}
