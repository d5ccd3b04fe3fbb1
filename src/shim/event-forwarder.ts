import { setTimeout } from "node:timers/promises";
import { Events } from "../gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import type { Event } from "../gen/lighter/shim/v1/host_pb.ts";
import { isFault, messageOf } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import type { ClientConnection } from "../wire/service.ts";
import { connectTtrpc } from "../wire/ttrpc/index.ts";
import type { EventJournal } from "./state/event-journal.ts";

/** Source: containerd pkg/shim/publisher.go, forwardRequest. */
const forwardLimitMs = 5_000;
/** Between two tries while the daemon is away, growing. */
const [firstPauseMs, longestPauseMs] = [50, 2_000];

export interface EventForwarderOptions {
  /** The ttrpc socket of the containerd whose shim this host is. */
  readonly address: string;
  readonly journal: EventJournal;
  readonly log: Logger;
}

/**
 * Brings the journal's events to a containerd, one after the other, each until it was taken: through its restarts too, where
 * containerd's own shims give up after some tries. An event that it refuses is dropped.
 */
export class EventForwarder implements AsyncDisposable {
  readonly #options: EventForwarderOptions;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #connection: ClientConnection | undefined;

  constructor(options: EventForwarderOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#connection?.[Symbol.asyncDispose]();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { journal } = this.#options;
    for await (const event of journal.read(0n, this.#ending.signal)) {
      if (!(await this.#deliver(event))) return;
      journal.acknowledge(event.sequence);
    }
  }

  /** False when the host ends before the event was taken: the next one has it in its journal. */
  async #deliver(event: Event): Promise<boolean> {
    const { signal } = this.#ending;
    for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        await this.#forward(event);
        return true;
      } catch (error) {
        if (signal.aborted) return false;
        const away = isFault(error, "unavailable") || isFault(error, "deadlineExceeded");
        if (!away) {
          this.#options.log.error("event refused", { topic: event.topic, error: messageOf(error) });
          return true;
        }
        await this.#drop();
        await setTimeout(pauseMs, undefined, { signal }).catch(() => undefined); // the end cuts the pause short
      }
    }
    return false;
  }

  async #forward({ timestamp, namespace, topic, event }: Event): Promise<void> {
    this.#connection ??= await connectTtrpc({ path: this.#options.address });
    const envelope = {
      namespace,
      topic,
      ...(timestamp === undefined ? {} : { timestamp }),
      ...(event === undefined ? {} : { event }),
    };
    const events = this.#connection.client(Events);
    await events.forward({ envelope }, { namespace, timeoutMs: forwardLimitMs, signal: this.#ending.signal });
  }

  async #drop(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.[Symbol.asyncDispose]();
  }
}
