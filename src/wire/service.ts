import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { GenService, GenServiceMethods } from "@bufbuild/protobuf/codegenv2";
import type { Ctx } from "../lib/ctx.ts";

type Awaitable<T> = T | Promise<T>;

/** How one method is written: plain values in and out; a stream is an AsyncIterable. */
export type MethodImpl<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (ctx: Ctx, request: MessageShape<M["input"]>) => Awaitable<MessageInitShape<M["output"]>>
  : M["methodKind"] extends "server_streaming"
    ? (ctx: Ctx, request: MessageShape<M["input"]>) => AsyncIterable<MessageInitShape<M["output"]>>
    : M["methodKind"] extends "client_streaming"
      ? (ctx: Ctx, requests: AsyncIterable<MessageShape<M["input"]>>) => Awaitable<MessageInitShape<M["output"]>>
      : (ctx: Ctx, requests: AsyncIterable<MessageShape<M["input"]>>) => AsyncIterable<MessageInitShape<M["output"]>>;

/** A service's methods by their local (lowerCamelCase) names. One that is left out answers Unimplemented by name. */
export type ServiceImpl<S extends DescService> =
  S extends GenService<infer Methods extends GenServiceMethods>
    ? { readonly [K in keyof S["method"]]?: MethodImpl<S["method"][K]> } & { readonly __methods?: Methods }
    : never;

/** A service ready to be served, over gRPC and ttrpc alike. */
export interface ServiceDefinition {
  readonly desc: DescService;
  readonly impl: Readonly<Record<string, unknown>>;
  /** Local names of the methods whose requests are theirs only until they ask for the next one. */
  readonly borrows: readonly string[];
}

export interface ServiceOptions<S extends DescService> {
  /**
   * Methods with a stream of requests, each of which is the method's only until it asks for the next: where requests are
   * large, their memory is used again.
   */
  readonly borrows?: readonly (keyof S["method"] & string)[] | undefined;
}

/** Pairs a generated service with its implementation; the types of both are checked here and nowhere else. */
export function defineService<S extends DescService>(
  desc: S,
  impl: ServiceImpl<S>,
  { borrows = [] }: ServiceOptions<S> = {},
): ServiceDefinition {
  return { desc, impl: impl as Readonly<Record<string, unknown>>, borrows };
}

/** Per call: who asks, how long it may take, what else goes along. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly namespace?: string | undefined;
  readonly lease?: string | undefined;
  readonly metadata?: ReadonlyMap<string, string> | undefined;
}

/** How a caller sees one method. Failures are FaultErrors with the server's message. */
export type MethodCall<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => Promise<MessageShape<M["output"]>>
  : M["methodKind"] extends "server_streaming"
    ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => AsyncIterable<MessageShape<M["output"]>>
    : M["methodKind"] extends "client_streaming"
      ? (
          requests: AsyncIterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => Promise<MessageShape<M["output"]>>
      : (
          requests: AsyncIterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => AsyncIterable<MessageShape<M["output"]>>;

/** A remote service: one function a method. */
export type ServiceClient<S extends DescService> = { readonly [K in keyof S["method"]]: MethodCall<S["method"][K]> };

/** A connection over which services are called: gRPC (wire/grpc) and ttrpc (wire/ttrpc) both are one. */
export interface ClientConnection extends AsyncDisposable {
  client<S extends DescService>(desc: S, defaults?: CallOptions): ServiceClient<S>;
  /** Settles when the connection is gone, with the reason where there was one. Never rejects. */
  readonly closed: Promise<Error | undefined>;
}
