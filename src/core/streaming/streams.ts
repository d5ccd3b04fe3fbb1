import type { Any } from "@bufbuild/protobuf/wkt";
import type { Ctx } from "../../lib/ctx.ts";
import type { ResourceCollector } from "../gc/index.ts";

/** A conversation with a client that another call of its refers to by name. */
export interface Stream {
  /** Sends a message. Effects: settles when the connection took it. Errors: canceled or unavailable when the client is gone. */
  send(message: Any): Promise<void>;
  /**
   * The next message, the receiver's only until it asks for another; undefined when the client sends no more.
   * Errors: canceled when it is gone.
   */
  receive(): Promise<Any | undefined>;
  /** Ends it; messages that were sent still arrive. */
  close(): void;
}

/** The streams of every namespace, by name. */
export interface StreamManager {
  /** Errors: alreadyExists, resourceExhausted. Effects: the answer takes it out again. */
  register(ctx: Ctx, name: string, stream: Stream): Disposable;
  /** Errors: notFound. */
  get(ctx: Ctx, name: string): Stream;
  /** For garbage collection, which ends those that were opened under a lease which is no more. */
  readonly collector: ResourceCollector;
}
