import { create, type DescMethod } from "@bufbuild/protobuf";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { unavailable } from "../../lib/faults.ts";
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
import type { CallObserver, CallUnderWay } from "../observer.ts";
import type { ServiceDefinition } from "../service.ts";
import { Deadlines } from "./deadlines.ts";
import { defaultGrpcLimits, type GrpcLimits } from "./limits.ts";
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
  /** What becomes of calls when the server ends; all are finished without. */
  readonly ending?: ((method: DescMethod) => Ending) | undefined;
}

/**
 * What a server that ends does about a call: it gives it the grace to finish; it does not wait for it, and cuts it off when those
 * have finished (a wait for what may be days away); or it lets it end by itself then.
 */
export type Ending = "finish" | "cut" | "follow";

/** Serves gRPC over HTTP/2 on unix sockets and TCP, over TLS where it is told to. */
export interface GrpcServer {
  /** Returns the port, 0 for a path. A socket file is made with `mode`, by default 0660. Errors: what listen gives. */
  listen(endpoint: Endpoint | ListeningSocket): Promise<number>;
  /** Serves on a socket that listens already until it is disposed of; calls under way go on. */
  serve(socket: ListeningSocket): Disposable;
  /** Changes what the messages of calls from now on may have. */
  limitMessages(limits: Pick<GrpcLimits, "maxReceiveBytes" | "maxSendBytes">): void;
  /**
   * Stops listening, lets the calls in progress end for so long, then answers the others with unavailable and hangs up.
   * `quiet` is called in between, and waited for: none but waiting calls is left then, or the grace is over.
   */
  close(graceMs: number, quiet?: () => void | Promise<void>): Promise<void>;
  /** The calls that are under way; for people, since it looks at every open stream. */
  calls(): readonly CallUnderWay[];
  /** How many connections there are. */
  readonly connections: number;
}

const defaultKeepaliveMs = 2 * 3600 * 1000;
/** How long a client that has its answers, or reads them slowly, may take for the last bytes. */
const lingerMs = 500;
const drainTickMs = 5;

/** Makes a server of these services. Errors: alreadyExists (one service twice). */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  return new Http2GrpcServer(options);
}

class Http2GrpcServer implements GrpcServer, ConnectionHandler {
  readonly #routes: Routes;
  readonly #http2: Http2Server;
  readonly #deadlines = new Deadlines();
  readonly #shared: CallShared;
  readonly #ending: GrpcServerOptions["ending"];

  constructor(options: GrpcServerOptions) {
    const limits = { ...defaultGrpcLimits, ...options.limits };
    this.#routes = new Routes(options.services);
    this.#ending = options.ending;
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

  get connections(): number {
    return this.#http2.connections.size;
  }

  calls(): readonly CallUnderWay[] {
    const streams = [...this.#http2.connections].flatMap((connection) => [...connection.streams.values()]);
    return streams.flatMap(({ handler }) => (handler instanceof ServerCall ? (handler.underWay() ?? []) : []));
  }

  async close(graceMs: number, quiet?: () => void | Promise<void>): Promise<void> {
    this.#http2.drain();
    await this.#until(() => this.#http2.strangers === 0 && this.#pending("finish").length === 0, graceMs);
    await quiet?.();
    const goingAway = unavailable("the server is going away");
    for (const call of [...this.#pending("cut"), ...this.#pending("finish")]) call.interrupt(goingAway);
    await this.#until(() => this.#pending("follow").length === 0, graceMs === 0 ? 0 : lingerMs);
    for (const call of this.#pending("follow")) call.interrupt(goingAway);
    await this.#http2.close(graceMs === 0 ? 0 : lingerMs);
    this.#deadlines[Symbol.dispose]();
  }

  #pending(ending: Ending): readonly ServerCall[] {
    const handlers = [...this.#http2.connections].flatMap(({ streams }) =>
      [...streams.values()].map((one) => one.handler),
    );
    return handlers.filter((handler): handler is ServerCall => {
      const method = handler instanceof ServerCall ? handler.pending : undefined;
      return method !== undefined && (this.#ending?.(method) ?? "finish") === ending;
    });
  }

  async #until(condition: () => boolean, limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!condition() && performance.now() < deadline) await Bun.sleep(drainTickMs);
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
