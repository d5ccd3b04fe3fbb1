import { create } from "@bufbuild/protobuf";
import type { Envelope } from "../../../gen/containerd/types/event_pb.ts";
import { type Event, EventSchema } from "../../../gen/lighter/events/v1/history_pb.ts";
import { BoundedQueue } from "../../../lib/bounded-queue.ts";
import type { Ctx } from "../../../lib/ctx.ts";
import { fault, messageOf, unavailable } from "../../../lib/faults.ts";
import { type Filter, parseFilters } from "../../../lib/filters.ts";
import { probeExecId } from "../../../lib/health-labels.ts";
import { Instant } from "../../../lib/instant.ts";
import type { Logger } from "../../../lib/log.ts";
import { createTimers, type Timers } from "../../../lib/timers.ts";
import type { Exchange } from "../exchange.ts";
import { envelopeFields } from "../fields.ts";
import { endWith, readerBounds, sizeOf } from "../reader-queue.ts";
import { encodeEvent, recordMaxBytes, recordsOf } from "./record.ts";
import { Repeats } from "./repeats.ts";
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

/** What waits for the files of the life before to be looked at, at most: more is left out, and said so. */
const { maxItems: waitingMax, maxBytes: waitingMaxBytes } = readerBounds;
/**
 * Numbers that a new daemon leaves out: those that the one before may have given to events which it had not written when it
 * was killed. Nobody who was told of them is told of others under the same numbers.
 */
const leftOut = 2 * waitingMax;
/** Taken in one turn of the loop, and written at once. */
const batchMax = 128;
const batchMaxBytes = 1024 * 1024;
/**
 * What happens goes together so long: a write into the kernel's memory takes some microseconds where nothing else happens, and some twenty
 * where the filesystem's journal is at work. Measured: a write for each turn of the loop made twice the history's work.
 */
const gatherMs = 20;
const pruneMs = 3_600_000;
/** What can't be written is told of this often: a full disk fills no log. */
const complaintMs = 60_000;

interface Follower {
  readonly wants: (envelope: Envelope) => boolean;
  readonly queue: BoundedQueue<Event>;
}

/**
 * Keeps every event of the exchange from now on, in a folder. Errors: as the filesystem's, where the folder can't be made.
 * Effects: what is there is looked at when the first event, or reader, comes.
 */
export function openEventHistory(options: EventHistoryOptions): EventHistory {
  const { folder, limits, log, now = Date.now } = options;
  return new EventHistory(options, new Segments({ folder, limits, log, now }));
}

/**
 * Events that are kept, within limits, over restarts of the daemon.
 * Effects: what happens within a fiftieth of a second is written together, by one call that waits for no disk. What can't be written is
 * left out, and the log says so.
 */
export class EventHistory implements AsyncDisposable {
  readonly #options: EventHistoryOptions;
  readonly #segments: Segments;
  readonly #repeats: Repeats;
  readonly #observing: Disposable;
  readonly #pruning: ReturnType<typeof setInterval>;
  readonly #followers = new Set<Follower>();
  /** Taken and not written, the first of which has the number `#next` less their count. */
  #unsaved: Envelope[] = [];
  #unsavedBytes = 0;
  #gathering: ReturnType<typeof setTimeout> | undefined;
  /** The number of the next event; undefined until the files were looked at. */
  #next: number | undefined;
  /** Numbers given since something was written. A life that has written nothing counts as one that gave all it may: the next can't tell. */
  #unwritten = waitingMax;
  /** What came while something has to be read first, in order. */
  #waiting: Envelope[] = [];
  #waitingBytes = 0;
  #reading: Promise<void> | undefined;
  #lost = 0;
  #why = "";
  #complainedAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: EventHistoryOptions, segments: Segments) {
    const { now = Date.now, log } = options;
    this.#options = options;
    this.#segments = segments;
    this.#repeats = new Repeats({ segments, log, startedMs: now() });
    this.#observing = options.exchange.observe((envelope) => this.#hear(envelope));
    this.#pruning = setInterval(() => void this.#tidy(), pruneMs);
    this.#pruning.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#observing[Symbol.dispose]();
    clearInterval(this.#pruning);
    for (const { queue } of this.#followers) queue.close();
    await this.#reading;
    this.#flush();
    clearTimeout(this.#gathering);
    this.#complainedAt = Number.NEGATIVE_INFINITY;
    this.#complain();
    await this.#segments[Symbol.asyncDispose]();
  }

  /**
   * Tells of what is kept, and goes on with what happens where that is asked for.
   * Errors: invalidArgument (a filter that doesn't parse, at once); unavailable (the files can't be read); resourceExhausted (a
   * follower that falls behind). Ends with the context's signal.
   */
  read(ctx: Ctx, query: HistoryQuery): AsyncIterable<Event> {
    const wants = matcherOf(query, parseFilters(query.filters));
    return this.#read(ctx, query, wants);
  }

  async *#read(ctx: Ctx, query: HistoryQuery, wants: Follower["wants"]): AsyncGenerator<Event> {
    const sinceMs = query.sinceMs ?? 0;
    let from = query.afterSequence + 1;
    // First what is there already, however long that takes; then the little that came meanwhile, while a queue takes the rest.
    const head = await this.#ready();
    this.#flush();
    for await (const event of this.#segments.read(from, head, sinceMs)) {
      if (ctx.aborted) return;
      if (event.envelope !== undefined && wants(event.envelope)) yield event;
    }
    from = Math.max(from, head);
    if (!query.follow) return;
    using following = this.#follow(ctx, query, wants);
    this.#flush();
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
      from: this.#next ?? 0,
      [Symbol.dispose]: () => {
        timer?.[Symbol.dispose]();
        this.#followers.delete(follower);
        ctx.signal.removeEventListener("abort", onAbort);
      },
    };
  }

  #hear(envelope: Envelope): void {
    if (isOfProbe(envelope)) return;
    if (this.#reading === undefined && this.#isReadyFor(envelope)) return this.#take(envelope);
    const bytes = this.#waitingBytes + sizeOf(envelope);
    if (this.#waiting.length < waitingMax && bytes <= waitingMaxBytes) {
      this.#waiting.push(envelope);
      this.#waitingBytes = bytes;
    } else this.#lose(1, "events came too fast");
    this.#begin();
  }

  /** The first of what waits. */
  #waited(most: number): Envelope[] {
    const envelopes = this.#waiting.splice(0, most);
    for (const envelope of envelopes) this.#waitingBytes -= sizeOf(envelope);
    return envelopes;
  }

  #isReadyFor(envelope: Envelope): boolean {
    return this.#next !== undefined && (this.#repeats.isLoaded || !this.#repeats.concerns(envelope));
  }

  /** Answers the number of the next event, once the files were looked at. Errors: unavailable. */
  async #ready(): Promise<number> {
    if (this.#next === undefined) this.#begin();
    while (this.#reading !== undefined) await this.#reading;
    if (this.#next === undefined) throw unavailable(`the history of events can't be read: ${this.#why}`);
    return this.#next;
  }

  #begin(): void {
    this.#reading ??= this.#catchUp();
  }

  /** Reads what has to be known, then takes what has waited for it. Never rejects. */
  async #catchUp(): Promise<void> {
    try {
      await this.#load();
    } catch (error) {
      // The next event, or reader, has another try.
      this.#lose(this.#waited(waitingMax).length, messageOf(error));
    }
    while (this.#waiting.length > 0) {
      for (const envelope of this.#waited(batchMax)) {
        if (!this.#isReadyFor(envelope)) await this.#repeats.load();
        this.#take(envelope);
      }
      if (this.#waiting.length > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    // In the same breath: what comes from here on waits for nobody.
    this.#reading = undefined;
  }

  async #load(): Promise<void> {
    if (this.#next !== undefined) return;
    await this.#segments.load();
    const { last } = this.#segments;
    this.#next = last === 0 ? 1 : last + leftOut;
  }

  #take(envelope: Envelope): void {
    if (this.#next === undefined || (this.#repeats.concerns(envelope) && this.#repeats.has(envelope))) return;
    const sequence = this.#next++;
    this.#unsaved.push(envelope);
    this.#unsavedBytes += sizeOf(envelope);
    this.#unwritten += 1;
    const isDue = this.#unsaved.length >= batchMax || this.#unsavedBytes >= batchMaxBytes;
    if (isDue || (this.#isUnsure && this.#followers.size > 0)) this.#flush();
    else this.#gathering ??= setTimeout(() => this.#flush(), gatherMs);
    for (const follower of this.#followers) {
      if (this.#isUnsure) follower.queue.fail(unavailable(`events can't be kept: ${this.#why}`));
      else if (follower.wants(envelope)) deliver(follower, sequence, envelope);
    }
  }

  /** The next daemon might give the last number again: nobody is told of it before the disk has taken one. */
  get #isUnsure(): boolean {
    return this.#unwritten > waitingMax;
  }

  #flush(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    if (this.#unsaved.length === 0 || this.#next === undefined) return;
    const first = this.#next - this.#unsaved.length;
    const events = this.#unsaved.map((envelope, n) => encodeEvent(first + n, envelope));
    const fitting = events.filter(({ length }) => length <= recordMaxBytes);
    if (fitting.length < events.length) this.#lose(events.length - fitting.length, "events are too large");
    const batch = { bytes: recordsOf(fitting), count: fitting.length, first, last: this.#next - 1 };
    this.#unsaved = [];
    this.#unsavedBytes = 0;
    if (batch.count === 0) return;
    try {
      this.#segments.append(batch);
      this.#unwritten = 0;
      this.#complain();
    } catch (error) {
      this.#lose(batch.count, messageOf(error));
    }
  }

  async #tidy(): Promise<void> {
    await this.#ready().catch(() => undefined);
    if (this.#next !== undefined && !this.#closed) this.#segments.prune();
    this.#complain();
  }

  #lose(events: number, why: string): void {
    this.#lost += events;
    this.#why = why;
    this.#complain();
  }

  #complain(): void {
    const now = performance.now();
    if (this.#lost === 0 || now < this.#complainedAt + complaintMs) return;
    this.#options.log.error("events are missing in the history", { events: this.#lost, why: this.#why });
    this.#complainedAt = now;
    this.#lost = 0;
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
