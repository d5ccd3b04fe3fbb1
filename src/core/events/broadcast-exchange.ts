import { create } from "@bufbuild/protobuf";
import { type Envelope, EnvelopeSchema } from "../../gen/containerd/types/event_pb.ts";
import { BoundedQueue, type QueueBounds } from "../../lib/bounded-queue.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { fault, unavailable, wrapFault } from "../../lib/faults.ts";
import { type FieldAdaptor, type Filter, parseFilters } from "../../lib/filters.ts";
import type { Logger } from "../../lib/log.ts";
import { requireNamespace } from "../required-namespace.ts";
import { createAbsentees } from "./absentees.ts";
import type { Exchange, Returning } from "./exchange.ts";
import { envelopeFields } from "./fields.ts";
import { endWith, readerBounds, sizeOf } from "./reader-queue.ts";
import { checkEnvelope, checkTopic } from "./validate.ts";

export interface ExchangeOptions {
  readonly log: Logger;
  readonly now?: Clock | undefined;
  /** How far a subscriber may fall behind. */
  readonly bounds?: QueueBounds | undefined;
  /** Each of so many first subscribers gets what came before it as well. */
  readonly returning?: Returning | undefined;
}

const replaced = "the daemon is being replaced; subscribe again";

interface Subscriber {
  readonly filter: Filter;
  readonly queue: BoundedQueue<Envelope>;
  readonly isClient: boolean;
}

/** Makes an exchange. It keeps no history: what nobody subscribed to is gone. */
export function createExchange({
  log,
  now = systemClock,
  bounds = readerBounds,
  returning,
}: ExchangeOptions): Exchange {
  const subscribers = new Set<Subscriber>();
  const observers = new Set<(envelope: Envelope) => void>();
  const absentees = createAbsentees(returning, bounds.maxItems);
  let subscriptions = 0;
  let retired = false;
  let cutOff = 0;
  const broadcast = (envelope: Envelope): number => {
    let fields: FieldAdaptor | undefined;
    let takers = absentees.keep(envelope) ? 1 : 0;
    for (const observer of observers) tell(observer, envelope, log);
    for (const subscriber of subscribers) {
      if (!subscriber.filter.matchesAll) {
        fields ??= envelopeFields(envelope);
        if (!subscriber.filter.matches(fields)) continue;
      }
      deliver(subscriber, envelope, log);
      takers += 1;
    }
    return takers;
  };
  return {
    publish: (ctx, topic, event) => {
      const namespace = publisherNamespace(ctx);
      checkTopic(topic);
      // What a daemon that is being replaced still does of itself, nobody hears of.
      if (!retired) broadcast(create(EnvelopeSchema, { timestamp: now().toTimestamp(), namespace, topic, event }));
    },
    get subscriptions() {
      return subscriptions;
    },
    get queued() {
      let count = 0;
      for (const { queue } of subscribers) count += queue.length;
      return count;
    },
    forward: (envelope) => {
      if (retired) throw unavailable("the daemon is being replaced; forward it again");
      checkEnvelope(envelope);
      return broadcast(envelope);
    },
    subscribe: (ctx, filters, from = "room") => {
      const filter = subscriptionFilter(filters);
      const onAbort = (): void => endWith(queue, ctx);
      const queue = new BoundedQueue<Envelope>(bounds, () => {
        subscribers.delete(subscriber);
        ctx.signal.removeEventListener("abort", onAbort);
      });
      const isClient = from === "client";
      const subscriber: Subscriber = { filter, queue, isClient };
      if (retired) throw unavailable(replaced);
      for (const envelope of isClient ? absentees.comeBack() : [])
        if (filter.matchesAll || filter.matches(envelopeFields(envelope))) deliver(subscriber, envelope, log);
      subscribers.add(subscriber);
      subscriptions += 1;
      ctx.signal.addEventListener("abort", onAbort);
      if (ctx.aborted) onAbort();
      return queue;
    },
    retire: () => {
      if (!retired) cutOff = [...subscribers].filter(({ isClient }) => isClient).length + absentees.awaited;
      retired = true;
      for (const { queue, isClient } of subscribers)
        if (isClient) queue.closeWith(unavailable(replaced));
        else queue.close();
      return cutOff;
    },
    get retired() {
      return retired;
    },
    get awaited() {
      return absentees.awaited;
    },
    get isUntold() {
      return absentees.isUntold;
    },
    observe: (listener) => {
      // Wrapped, so that the same function may observe twice.
      const observer = (envelope: Envelope): void => listener(envelope);
      observers.add(observer);
      return { [Symbol.dispose]: () => void observers.delete(observer) };
    },
  };
}

function tell(observer: (envelope: Envelope) => void, envelope: Envelope, log: Logger): void {
  try {
    observer(envelope);
  } catch (error) {
    log.error("observer of events failed", { topic: envelope.topic, error });
  }
}

function publisherNamespace(ctx: Ctx): string {
  try {
    return requireNamespace(ctx);
  } catch (error) {
    throw wrapFault("failed publishing event", error);
  }
}

function subscriptionFilter(filters: readonly string[]): Filter {
  try {
    return parseFilters(filters);
  } catch (error) {
    throw wrapFault("failed parsing subscription filters", error);
  }
}

function deliver({ queue }: Subscriber, envelope: Envelope, log: Logger): void {
  if (queue.push(envelope, sizeOf(envelope))) return;
  const behind = `${queue.length} events, ${queue.sizeBytes} bytes`;
  log.warn("event subscriber cut off: it reads too slowly", { behind });
  queue.fail(fault("resourceExhausted", `subscriber fell behind (${behind}); subscribe again and read faster`));
}
