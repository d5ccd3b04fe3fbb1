import type { Any } from "@bufbuild/protobuf/wkt";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";

/** Where events meet: rooms publish, shims forward, clients subscribe. */
export interface Exchange {
  /** Stamps time and the context's namespace. Errors: invalidArgument (topic or namespace malformed). */
  publish(ctx: Ctx, topic: string, event: Any): void;
  /**
   * Passes an envelope on as it is. Answers how many subscribers it went to.
   * Errors: invalidArgument (namespace, topic or timestamp missing or malformed); unavailable once it has retired.
   */
  forward(envelope: Envelope): number;
  /** How many subscriptions there ever were: what nobody took is worth another try only when this has grown. */
  readonly subscriptions: number;
  /** How many events wait for subscribers to take them, those of all together. */
  readonly queued: number;
  /**
   * Events from now on, of all namespaces, that match any of the filters; every one when there is none.
   * Errors: invalidArgument (a filter that doesn't parse, before the first event); resourceExhausted when the reader
   * falls behind a bounded queue. Ends with the context's signal.
   * Shape: a `client` is told when the exchange retires, and comes back to a successor; one of the daemon's own rooms ends with it.
   */
  subscribe(ctx: Ctx, filters: readonly string[], from?: "client" | "room"): AsyncIterable<Envelope>;
  /**
   * Calls the daemon's own parts with each event, at once, until disposed. An observer takes nothing away: `forward` does not
   * count it, so that what only observers heard of is still held for clients.
   * Shape: `listener` does next to nothing and does not wait; one that throws is logged, and hears the next event as well.
   */
  observe(listener: (envelope: Envelope) => void): Disposable;
  /**
   * Takes no more events, of which those who bring them keep what they can for the next daemon; subscribers get what waits
   * for them, clients also unavailable as the last word. Answers how many clients a successor may expect back.
   */
  retire(): number;
  readonly retired: boolean;
  /** Subscribers of a predecessor that have not come back yet and are still waited for. */
  readonly awaited: number;
  /** Nobody of those has come back: what was forwarded so far lies here alone, and is lost to them if this daemon fails to serve. */
  readonly isUntold: boolean;
}

/** Subscribers whom a predecessor cut off in order to be replaced. */
export interface Returning {
  readonly subscribers: number;
  /** For how long they are waited for. */
  readonly forMs: number;
}
