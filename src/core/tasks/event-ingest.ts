import { create } from "@bufbuild/protobuf";
import { EnvelopeSchema } from "../../gen/containerd/types/event_pb.ts";
import type { Event } from "../../gen/lighter/shim/v1/host_pb.ts";
import type { Logger } from "../../lib/log.ts";
import type { Exchange } from "../events/exchange.ts";
import type { HostConnection } from "./host.ts";

/** How long an acknowledgement waits for others to go with it, and how many events it waits for at most. */
const acknowledgeDelayMs = 50;
const acknowledgeBatch = 256;

/** Events passed on and not yet let go of by the host. More means that it never lets go: then repeats are possible. */
const unacknowledgedMax = 65_536;

export interface EventIngestOptions {
  readonly exchange: Pick<Exchange, "forward">;
  readonly log: Logger;
}

/**
 * Feeds the host's events to the exchange, each once in this daemon's life.
 * The host keeps an event on its disk until it is acknowledged, and that happens after it was passed on; so one that came
 * while the daemon was down, or that was passed on just before it died, arrives after its restart. What was passed on but
 * whose acknowledgement got lost with a host is recognised when the next host brings it again. Nothing has to be stored here.
 */
export class EventIngest {
  readonly #exchange: Pick<Exchange, "forward">;
  readonly #log: Logger;
  /** Sequence numbers of what was passed on and not yet acknowledged, by what tells events apart. */
  readonly #passedOn = new Map<string, bigint>();
  #acknowledger: Acknowledger | undefined;

  constructor(options: EventIngestOptions) {
    this.#exchange = options.exchange;
    this.#log = options.log;
  }

  /** Passes events on until the connection is gone. Settles then; never rejects. */
  async run(connection: HostConnection): Promise<void> {
    await using acknowledger = new Acknowledger(connection, (upTo) => this.#forget(upTo));
    this.#acknowledger = acknowledger;
    try {
      for await (const event of connection.host.events({ after: 0n })) {
        this.#take(event);
        acknowledger.add(event.sequence);
      }
    } catch (error) {
      if (!connection.lost) this.#log.warn("events of the shim host broke off", { error });
    }
  }

  /** Acknowledges what was passed on: for the last moment before a connection is let go of. */
  async flush(): Promise<void> {
    await this.#acknowledger?.flush();
  }

  #take(event: Event): void {
    const key = `${event.sequence} ${event.timestamp?.seconds}.${event.timestamp?.nanos} ${event.namespace} ${event.topic}`;
    if (this.#passedOn.has(key)) return;
    try {
      const { timestamp, namespace, topic, event: payload } = event;
      this.#exchange.forward(
        create(EnvelopeSchema, {
          namespace,
          topic,
          ...(timestamp === undefined ? {} : { timestamp }),
          ...(payload === undefined ? {} : { event: payload }),
        }),
      );
    } catch (error) {
      // One bad event must neither stop the others nor come again for ever.
      this.#log.error("event of the shim host refused", { topic: event.topic, namespace: event.namespace, error });
    }
    if (this.#passedOn.size >= unacknowledgedMax) this.#passedOn.clear();
    this.#passedOn.set(key, event.sequence);
  }

  #forget(upTo: bigint): void {
    for (const [key, sequence] of this.#passedOn) if (sequence <= upTo) this.#passedOn.delete(key);
  }
}

/** Tells the host what it may let go of: together what comes close together, one call at a time. */
class Acknowledger implements AsyncDisposable {
  readonly #connection: HostConnection;
  readonly #done: (upTo: bigint) => void;
  #highest = 0n;
  #waiting = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | undefined;

  constructor(connection: HostConnection, done: (upTo: bigint) => void) {
    this.#connection = connection;
    this.#done = done;
  }

  add(sequence: bigint): void {
    if (sequence > this.#highest) this.#highest = sequence;
    this.#waiting += 1;
    if (this.#waiting >= acknowledgeBatch) this.#start();
    else this.#timer ??= setTimeout(() => this.#start(), acknowledgeDelayMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    await this.#sending;
  }

  async flush(): Promise<void> {
    await this.#sending;
    if (this.#waiting > 0) this.#start();
    await this.#sending;
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#sending !== undefined) return;
    this.#waiting = 0;
    this.#sending = this.#send(this.#highest).finally(() => {
      this.#sending = undefined;
      if (this.#waiting > 0) this.#timer ??= setTimeout(() => this.#start(), acknowledgeDelayMs);
    });
  }

  async #send(sequence: bigint): Promise<void> {
    try {
      await this.#connection.host.acknowledge({ sequence });
      this.#done(sequence);
    } catch {
      // The events come again with the next connection and are recognised.
    }
  }
}
