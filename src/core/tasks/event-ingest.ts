import { create } from "@bufbuild/protobuf";
import { type Envelope, EnvelopeSchema } from "../../gen/containerd/types/event_pb.ts";
import type { Event } from "../../gen/lighter/shim/v1/host_pb.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { Instant } from "../../lib/instant.ts";
import type { Logger } from "../../lib/log.ts";
import type { PassedOnEvents } from "../../plugin/index.ts";
import type { Exchange } from "../events/index.ts";
import type { HostConnection } from "./host/host.ts";
import { PassedOnLedger } from "./passed-on.ts";
import type { RecentExits } from "./recent-exits.ts";
import type { DaemonFailpoint } from "./steps.ts";

/** How long an acknowledgement waits for others to go with it, and how many events it waits for at most. */
const acknowledgeDelayMs = 50;
const acknowledgeBatch = 256;
/** A daemon that ends waits for the last one, without which the next one repeats events: not for ever for a host that is silent. */
const acknowledgeLimitMs = 4_000;

/** Events passed on and not yet let go of by the host. More means that it never lets go: then repeats are possible. */
const unacknowledgedMax = 65_536;

/** Events that the host let go of, and which are still known: another connection's stream may have them on the way. */
const recentMax = 1_024;

/** How long after a start an event of the time before waits for whoever wants it. Clients come back within 12 s: containerd's
 * Go client waits 10 s, more or less a fifth, between two tries at most. Source: containerd client/client.go, New. */
const holdMs = 15_000;
const holdTickMs = 25;

export interface EventIngestOptions {
  readonly exchange: Pick<Exchange, "forward" | "isUntold" | "subscriptions" | "retired">;
  readonly exits: RecentExits;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  readonly failpoint?: DaemonFailpoint | undefined;
  /** What the daemon whose place this one takes has passed on. */
  readonly passedOn?: PassedOnEvents | undefined;
}

/**
 * Feeds the host's events to the exchange, each once in this daemon's life.
 * The host keeps an event on its disk until it is acknowledged, and that happens after it was passed on; so one that came
 * while the daemon was down, or that was passed on just before it died, arrives after its restart. What was passed on but
 * whose acknowledgement got lost with a host is recognised when the next host brings it again. Nothing has to be stored here.
 * What a daemon that was replaced had passed on is left out, though its acknowledgement may have been lost.
 * While nobody has come back of those whom that one cut off, the host lets go of nothing: a daemon that fails to serve takes
 * nothing with it.
 * An event from before the start that nobody takes is held for the clients that are about to come back.
 */
export class EventIngest implements Disposable {
  readonly #exchange: EventIngestOptions["exchange"];
  readonly #exits: RecentExits;
  readonly #log: Logger;
  readonly #failpoint: DaemonFailpoint;
  /** Sequence numbers of what was passed on, by what tells events apart: all that is not acknowledged, and the last that was. */
  readonly #passedOn = new Map<string, bigint>();
  readonly #ledger: PassedOnLedger;
  readonly #startedAt: Instant;
  readonly #holdUntil: number;
  #held: Held[] = [];
  /** The exchange's count when the held ones were last offered to all. */
  #offeredTo = 0;
  #highest = 0n;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #acknowledger: Acknowledger | undefined;

  constructor(options: EventIngestOptions) {
    this.#exchange = options.exchange;
    this.#exits = options.exits;
    this.#log = options.log;
    this.#failpoint = options.failpoint ?? (() => {});
    this.#ledger = new PassedOnLedger(options.passedOn);
    this.#startedAt = (options.clock ?? systemClock)();
    this.#holdUntil = performance.now() + holdMs;
  }

  /** Passes events on until the connection is gone. Settles then; never rejects. */
  async run(connection: HostConnection): Promise<void> {
    await using acknowledger = new Acknowledger(connection, (upTo) => this.#forget(upTo), this.#log);
    this.#acknowledger = acknowledger;
    // Another host may count anew.
    this.#highest = 0n;
    try {
      for await (const event of connection.host.events({ after: 0n })) {
        // Left with the host for the daemon that comes next.
        if (this.#exchange.retired) continue;
        this.#take(event);
        this.#failpoint("daemon.event.passed");
        this.#acknowledge(event.sequence);
      }
    } catch (error) {
      if (!connection.lost) this.#log.warn("events of the shim host broke off", { error });
    }
  }

  /** Acknowledges what was passed on: for the last moment before a connection is let go of. */
  async flush(): Promise<void> {
    await this.#acknowledger?.flush();
  }

  /** For a daemon that takes this one's place, once the exchange has retired. */
  get passedOn(): PassedOnEvents | undefined {
    return this.#ledger.handover(this.#held.map(({ sequence }) => sequence));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #take(event: Event): void {
    const { sequence, timestamp, namespace, topic, event: payload } = event;
    const key = `${sequence} ${timestamp?.seconds}.${timestamp?.nanos} ${namespace} ${topic}`;
    if (this.#passedOn.has(key)) return;
    if (this.#passedOn.size >= unacknowledgedMax) this.#passedOn.clear();
    this.#passedOn.set(key, sequence);
    this.#exits.note(event);
    if (this.#ledger.has(event)) return;
    this.#ledger.note(event);
    const envelope = create(EnvelopeSchema, {
      namespace,
      topic,
      ...(timestamp === undefined ? {} : { timestamp }),
      ...(payload === undefined ? {} : { event: payload }),
    });
    // What is held is older, and goes first where somebody has come for it.
    if (this.#held.length > 0) this.#offerHeld();
    if (this.#passOn(envelope) > 0 || !this.#isOfBefore(envelope)) return;
    this.#held.push({ sequence, envelope });
    this.#tickLater();
  }

  /** Answers how many took it; a bad event counts as taken, for it must neither stop the others nor come again for ever. */
  #passOn(envelope: Envelope): number {
    try {
      return this.#exchange.forward(envelope);
    } catch (error) {
      const { topic, namespace } = envelope;
      this.#log.error("event of the shim host refused", { topic, namespace, error });
      return 1;
    }
  }

  #isOfBefore({ timestamp }: Envelope): boolean {
    if (timestamp === undefined || performance.now() > this.#holdUntil) return false;
    return Instant.of(timestamp).isBefore(this.#startedAt);
  }

  /** Who refused an event refuses it for ever: another try waits for another subscriber. */
  #offerHeld(): void {
    const { subscriptions, retired } = this.#exchange;
    if (subscriptions === this.#offeredTo || retired) return;
    this.#offeredTo = subscriptions;
    this.#held = this.#held.filter(({ envelope }) => this.#passOn(envelope) === 0);
  }

  #tick(): void {
    this.#offerHeld();
    if (performance.now() > this.#holdUntil) this.#held = [];
    this.#timer = undefined;
    this.#acknowledge(0n);
    if (this.#held.length > 0) this.#tickLater();
  }

  #tickLater(): void {
    this.#timer ??= setTimeout(() => this.#tick(), holdTickMs);
  }

  /** Lets go of everything before the oldest one that is held. */
  #acknowledge(sequence: bigint): void {
    if (sequence > this.#highest) this.#highest = sequence;
    if (this.#exchange.isUntold) return this.#tickLater();
    const oldestHeld = this.#held[0]?.sequence;
    this.#acknowledger?.add(oldestHeld === undefined ? this.#highest : oldestHeld - 1n);
  }

  #forget(upTo: bigint): void {
    for (const [key, sequence] of this.#passedOn) {
      if (this.#passedOn.size <= recentMax) return;
      if (sequence <= upTo) this.#passedOn.delete(key);
    }
  }
}

/** An event that nobody has taken yet. */
interface Held {
  readonly sequence: bigint;
  readonly envelope: Envelope;
}

/** Tells the host what it may let go of: together what comes close together, one call at a time. */
class Acknowledger implements AsyncDisposable {
  readonly #connection: HostConnection;
  readonly #done: (upTo: bigint) => void;
  readonly #log: Logger;
  #highest = 0n;
  #waiting = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | undefined;

  constructor(connection: HostConnection, done: (upTo: bigint) => void, log: Logger) {
    this.#connection = connection;
    this.#done = done;
    this.#log = log;
  }

  add(sequence: bigint): void {
    if (sequence <= this.#highest) return;
    this.#highest = sequence;
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
      await this.#connection.host.acknowledge({ sequence }, { timeoutMs: acknowledgeLimitMs });
      this.#done(sequence);
    } catch (error) {
      // The events come again with the next connection and are recognised, unless it is another daemon's.
      this.#log.debug("events of the shim host are not acknowledged", { sequence, error });
    }
  }
}
