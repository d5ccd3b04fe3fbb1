import { create } from "@bufbuild/protobuf";
import type { Envelope } from "../../../gen/containerd/types/event_pb.ts";
import { type Event, EventSchema } from "../../../gen/lighter/events/v1/history_pb.ts";
import { BoundedQueue } from "../../../lib/bounded-queue.ts";
import type { Ctx } from "../../../lib/ctx.ts";
import { fault, messageOf } from "../../../lib/faults.ts";
import { type Filter, parseFilters } from "../../../lib/filters.ts";
import { probeExecId } from "../../../lib/health-labels.ts";
import { Instant } from "../../../lib/instant.ts";
import type { Logger } from "../../../lib/log.ts";
import { createTimers, type Timers } from "../../../lib/timers.ts";
import type { Exchange } from "../exchange.ts";
import { envelopeFields } from "../fields.ts";
import { endWith, readerBounds, sizeOf } from "../reader-queue.ts";
import { encodeRecord, recordMaxBytes } from "./record.ts";
import { type HistoryLimits, Segments } from "./segments.ts";

export interface EventHistoryOptions {
  readonly folder: string;
  readonly limits: HistoryLimits;
  readonly exchange: Pick<Exchange, "observe">;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
  readonly timers?: Pick<Timers, "after"> | undefined;
}

/** What a reader asks for. Shape: milliseconds since the epoch; what is undefined bounds nothing. */
export interface HistoryQuery {
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  readonly afterSequence: number;
  readonly filters: readonly string[];
  readonly follow: boolean;
}

/** What waits to be written, at most: more is left out, and said so. */
const waitingMax = 65_536;
/** Written at once. */
const batchMax = 128;
/**
 * What happens goes together so long: a write of its own for each event would be a twelfth of the daemon's work for a container's life. A shim host
 * lets go of an event after 50 ms: those of tasks are brought again when a daemon is killed before it has written them.
 */
const gatherMs = 20;
/**
 * Numbers that a new daemon leaves out: those that the one before may have given to events which it had not written when it
 * was killed. Nobody who was told of them is told of others under the same numbers.
 */
const leftOut = 2 * waitingMax;
const pruneMs = 3_600_000;
/** After a start, so long an event may come that the life before has kept: longer than one is held for a client's return. */
const repeatsMs = 60_000;

interface Waiting {
  readonly sequence: number;
  readonly envelope: Envelope;
}

interface Follower {
  readonly wants: (envelope: Envelope) => boolean;
  readonly queue: BoundedQueue<Event>;
}

/** Opens the history in a folder, and keeps every event of the exchange from now on. Errors: as the filesystem's. */
export async function openEventHistory(options: EventHistoryOptions): Promise<EventHistory> {
  const { folder, limits, log, now = Date.now } = options;
  return new EventHistory(options, await Segments.open({ folder, limits, log, now }));
}

/**
 * Events that are kept, within limits, over restarts of the daemon.
 * Effects: what happens within a fiftieth of a second is written together, by another thread; nobody waits for it. What can't be
 * written is left out, and the log says so.
 */
export class EventHistory implements AsyncDisposable {
  readonly #options: EventHistoryOptions;
  readonly #segments: Segments;
  readonly #observing: Disposable;
  readonly #pruning: ReturnType<typeof setInterval>;
  readonly #followers = new Set<Follower>();
  #next: number;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #lost = 0;
  /** What was told of already: who forwards an event may do so again, when nobody took it. */
  readonly #heard = new WeakSet<Envelope>();
  /** What the life before kept last: a shim host brings again what it is not sure was taken. */
  #ofBefore: Set<string>;
  readonly #ofBeforeUntil: number = performance.now() + repeatsMs;
  #closed = false;

  constructor(options: EventHistoryOptions, segments: Segments) {
    this.#options = options;
    this.#segments = segments;
    this.#ofBefore = new Set(segments.takeTail().flatMap(({ envelope }) => (envelope ? [keyOf(envelope)] : [])));
    this.#next = segments.last === 0 ? 1 : segments.last + leftOut;
    this.#observing = options.exchange.observe((envelope) => this.#hear(envelope));
    this.#pruning = setInterval(() => this.#begin(), pruneMs);
    this.#pruning.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#observing[Symbol.dispose]();
    clearInterval(this.#pruning);
    for (const { queue } of this.#followers) queue.close();
    await this.#written();
    await this.#segments[Symbol.asyncDispose]();
  }

  /**
   * Tells of what is kept, and goes on with what happens where that is asked for.
   * Errors: invalidArgument (a filter that doesn't parse, at once); resourceExhausted (a follower that falls behind). Ends with the
   * context's signal.
   */
  read(ctx: Ctx, query: HistoryQuery): AsyncIterable<Event> {
    const wants = matcherOf(query, parseFilters(query.filters));
    return this.#read(ctx, query, wants);
  }

  async *#read(ctx: Ctx, query: HistoryQuery, wants: Follower["wants"]): AsyncGenerator<Event> {
    const sinceMs = query.sinceMs ?? 0;
    let from = query.afterSequence + 1;
    // First what is there already, however long that takes; then the little that came meanwhile, while a queue takes the rest.
    const head = this.#next;
    await this.#written();
    for await (const event of this.#segments.read(from, head, sinceMs)) {
      if (ctx.aborted) return;
      if (event.envelope !== undefined && wants(event.envelope)) yield event;
    }
    from = Math.max(from, head);
    if (!query.follow) return;
    using following = this.#follow(ctx, query, wants);
    await this.#written();
    for await (const event of this.#segments.read(from, following.from, sinceMs)) {
      if (event.envelope !== undefined && wants(event.envelope)) yield event;
    }
    yield* following.queue;
  }

  #follow(ctx: Ctx, { untilMs }: HistoryQuery, wants: Follower["wants"]): Disposable & FollowerView {
    const { now = Date.now, timers = createTimers() } = this.#options;
    const queue = new BoundedQueue<Event>(readerBounds);
    const onAbort = (): void => endWith(queue, ctx);
    const follower = { wants, queue };
    this.#followers.add(follower);
    ctx.signal.addEventListener("abort", onAbort);
    if (ctx.aborted) onAbort();
    if (this.#closed) queue.close();
    const timer = untilMs === undefined ? undefined : timers.after(untilMs - now(), () => queue.close());
    return {
      queue,
      from: this.#next,
      [Symbol.dispose]: () => {
        timer?.[Symbol.dispose]();
        this.#followers.delete(follower);
        ctx.signal.removeEventListener("abort", onAbort);
      },
    };
  }

  #hear(envelope: Envelope): void {
    if (isOfProbe(envelope) || this.#isRepeated(envelope)) return;
    const sequence = this.#next++;
    for (const follower of this.#followers) if (follower.wants(envelope)) deliver(follower, sequence, envelope);
    if (this.#waiting.length >= waitingMax) this.#lost += 1;
    else this.#waiting.push({ sequence, envelope });
    if (this.#waiting.length >= batchMax) this.#begin();
    else this.#gathering ??= setTimeout(() => this.#begin(), gatherMs);
  }

  #begin(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    this.#writing ??= this.#write();
  }

  #isRepeated(envelope: Envelope): boolean {
    if (this.#heard.has(envelope)) return true;
    this.#heard.add(envelope);
    if (this.#ofBefore.size === 0) return false;
    if (performance.now() > this.#ofBeforeUntil) this.#ofBefore = new Set();
    return this.#ofBefore.has(keyOf(envelope));
  }

  async #written(): Promise<void> {
    this.#begin();
    while (this.#writing !== undefined) await this.#writing;
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, batchMax);
      try {
        await this.#append(batch);
      } catch (error) {
        this.#lost += batch.length;
        this.#complain(messageOf(error));
      }
    }
    await this.#segments.prune().catch((error: unknown) => {
      this.#options.log.warn("the event history's oldest part can't be removed", { error });
    });
    if (this.#lost > 0) this.#complain("events came too fast");
    this.#writing = undefined;
    if (this.#waiting.length > 0) this.#writing = this.#write();
  }

  async #append(batch: readonly Waiting[]): Promise<void> {
    const [first, last] = [batch[0], batch.at(-1)];
    if (first === undefined || last === undefined) return;
    const records = batch.map(({ sequence, envelope }) => encodeRecord(sequence, envelope));
    const fitting = records.filter(({ length }) => length < recordMaxBytes);
    this.#lost += records.length - fitting.length;
    await this.#segments.append(fitting, first.sequence, last.sequence);
  }

  #complain(why: string): void {
    const lost = this.#lost;
    this.#lost = 0;
    this.#options.log.error("events are missing in the history", { events: lost, why });
  }
}

/**
 * Whether it tells of a health check's process: of those there are three for each check, and they would drive out everything else.
 * What a check finds is told by events of its own.
 */
function isOfProbe({ topic, event }: Envelope): boolean {
  return topic.startsWith("/tasks/ex") && event !== undefined && bytesOf(event.value).includes(probeExecId);
}

/** The same bytes, not a copy. */
function bytesOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

interface FollowerView {
  readonly queue: BoundedQueue<Event>;
  /** What has this number, or a greater one, is in the queue. */
  readonly from: number;
}

function keyOf({ timestamp, namespace, topic, event }: Envelope): string {
  return `${timestamp?.seconds}.${timestamp?.nanos} ${namespace} ${topic} ${Bun.hash.crc32(event?.value ?? "")}`;
}

function matcherOf({ sinceMs, untilMs }: HistoryQuery, filter: Filter): (envelope: Envelope) => boolean {
  return (envelope) => {
    const ms = Instant.of(envelope.timestamp ?? { seconds: 0, nanos: 0 }).ms;
    if ((sinceMs !== undefined && ms < sinceMs) || (untilMs !== undefined && ms >= untilMs)) return false;
    return filter.matchesAll || filter.matches(envelopeFields(envelope));
  };
}

function deliver({ queue }: Follower, sequence: number, envelope: Envelope): void {
  if (queue.push(create(EventSchema, { sequence: BigInt(sequence), envelope }), sizeOf(envelope))) return;
  queue.fail(fault("resourceExhausted", "the reader fell behind; ask again from the last number that was read"));
}
