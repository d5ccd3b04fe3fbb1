import fs from "node:fs/promises";
import path from "node:path";
import type { Event } from "../../../gen/lighter/events/v1/history_pb.ts";
import type { Logger } from "../../../lib/log.ts";
import { isErrno } from "../../../sys/index.ts";
import { decodeRecord, isTorn, recordLength, recordSequence } from "./record.ts";

/** How much is kept; the oldest segment goes when there is more. */
export interface HistoryLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

export interface SegmentsOptions {
  readonly folder: string;
  readonly limits: HistoryLimits;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What is kept goes in eighths: between seven eighths and the whole of each limit is there. */
const parts = 8;
/** Read at once: some hundred events, which are decoded in less than a millisecond. */
const chunkBytes = 16 * 1024;
/** The same where records are only counted. */
const countedBytes = 256 * 1024;
/** So many of the newest events are remembered at a start: those that may come again are among them. */
const tailMax = 1024;
const suffix = ".events";
/** `FIRST.events` is written to, `FIRST-LAST-COUNT-NEWEST.events` is closed: nothing of it needs reading at a start. */
const nameForm = /^(\d+)(?:-(\d+)-(\d+)-(\d+))?\.events$/;

interface Segment {
  path: string;
  /** The number of its first event. */
  readonly first: number;
  last: number;
  count: number;
  bytes: number;
  readonly oldestMs: number;
  newestMs: number;
  closed: boolean;
}

/**
 * Records of events in files of a folder: one is appended to, the others are closed and go when they are too many, too large or
 * too old.
 * Shape: one caller writes at a time; any number may read meanwhile.
 * Effects: nothing waits for the disk but the closing of a segment: what a killed daemon wrote is there, and a power cut takes what
 * the kernel had not written yet. A record that was cut short is cut off at the next start.
 */
export class Segments implements AsyncDisposable {
  readonly #options: SegmentsOptions;
  #segments: Segment[] = [];
  #file: fs.FileHandle | undefined;
  /** The number of the last event that is there; 0 for none. */
  last = 0;
  #tail: Buffer[] = [];

  private constructor(options: SegmentsOptions) {
    this.#options = options;
  }

  /** Opens the folder, which is made where it is missing. Errors: as the filesystem's. */
  static async open(options: SegmentsOptions): Promise<Segments> {
    const opened = new Segments(options);
    await opened.#load();
    await opened.prune();
    return opened;
  }

  /** The newest events of the life before, once. */
  takeTail(): readonly Event[] {
    return this.#tail.splice(0).flatMap((record) => decodeRecord(record) ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.datasync().catch(() => undefined);
    await this.#file?.close();
    this.#file = undefined;
  }

  /** How much is there. */
  get totals(): { readonly events: number; readonly bytes: number } {
    const sum = (of: (segment: Segment) => number): number => this.#segments.reduce((all, one) => all + of(one), 0);
    return { events: sum((one) => one.count), bytes: sum((one) => one.bytes) };
  }

  /** Appends whole records, the first of which has the number `first`. Errors: as the filesystem's; nothing of them is there then. */
  async append(records: readonly Buffer[], first: number, last: number): Promise<void> {
    const segment = await this.#current(first);
    const file = (this.#file ??= await fs.open(segment.path, "a", 0o600));
    try {
      await writeAll(file, Buffer.concat(records));
    } catch (error) {
      await file.truncate(segment.bytes);
      throw error;
    }
    segment.bytes += records.reduce((sum, { length }) => sum + length, 0);
    segment.count += records.length;
    segment.newestMs = this.#options.now();
    segment.last = last;
    this.last = last;
  }

  /** Events from a number on to before another, oldest first. What goes meanwhile is left out. */
  async *read(from: number, before: number, sinceMs: number): AsyncGenerator<Event> {
    const oldest = Math.max(sinceMs, this.#options.now() - this.#options.limits.maxAgeMs);
    // The oldest may go meanwhile.
    const segments = this.#segments.slice();
    for (const [n, segment] of segments.entries()) {
      const next = segments[n + 1];
      if ((next !== undefined && next.first <= from) || segment.first >= before || segment.newestMs < oldest) continue;
      for await (const event of readSegment(segment)) {
        const sequence = Number(event.sequence);
        if (sequence >= before) return;
        if (sequence >= from) yield event;
      }
    }
  }

  /** Takes away what is beyond the limits. */
  async prune(): Promise<void> {
    const { limits, now } = this.#options;
    const ofPast = now() - limits.maxAgeMs;
    for (let first = this.#segments[0]; first !== undefined; first = this.#segments[0]) {
      const { events, bytes } = this.totals;
      const over = events > limits.maxEvents || bytes > limits.maxBytes || first.newestMs < ofPast;
      if (!over || first.bytes === 0) return;
      if (!first.closed) await this.#close(first);
      this.#segments.shift();
      await fs.rm(first.path, { force: true });
    }
  }

  async #current(first: number): Promise<Segment> {
    const { folder, limits, now } = this.#options;
    const current = this.#segments.at(-1);
    if (current !== undefined && !current.closed) {
      const isFull =
        current.count * parts >= limits.maxEvents ||
        current.bytes * parts >= limits.maxBytes ||
        (now() - current.oldestMs) * parts >= limits.maxAgeMs;
      if (!isFull) return current;
      await this.#close(current);
      await this.prune();
    }
    const at = now();
    const name = path.join(folder, `${first}${suffix}`);
    const segment = { path: name, first, last: first, count: 0, bytes: 0, oldestMs: at, newestMs: at, closed: false };
    this.#segments.push(segment);
    return segment;
  }

  async #close(segment: Segment): Promise<void> {
    await this.#file?.datasync();
    await this.#file?.close();
    this.#file = undefined;
    const name = `${segment.first}-${segment.last}-${segment.count}-${segment.newestMs}${suffix}`;
    const closed = path.join(this.#options.folder, name);
    await fs.rename(segment.path, closed);
    segment.path = closed;
    segment.closed = true;
  }

  async #load(): Promise<void> {
    const { folder } = this.#options;
    await fs.mkdir(folder, { recursive: true, mode: 0o700 });
    const names = (await fs.readdir(folder)).filter((name) => nameForm.test(name));
    names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
    for (const name of names) {
      const segment = await this.#found(name);
      if (segment !== undefined) this.#segments.push(segment);
    }
    // A daemon that was killed while it closed one may have left two that are open: the last alone goes on.
    for (const segment of this.#segments.slice(0, -1)) if (!segment.closed) await this.#close(segment);
    await this.#rememberTail();
  }

  async #rememberTail(): Promise<void> {
    const newer = this.#tail;
    const older = this.#segments.findLast(({ closed }) => closed);
    if (older === undefined || newer.length >= tailMax) return;
    this.#tail = [];
    for await (const { record } of walk(older, countedBytes)) this.#remember(record);
    this.#tail = [...this.#tail, ...newer].slice(-tailMax);
  }

  #remember(record: Buffer): void {
    this.#tail.push(Buffer.from(record));
    if (this.#tail.length >= 2 * tailMax) this.#tail = this.#tail.slice(-tailMax);
  }

  async #found(name: string): Promise<Segment | undefined> {
    const parsed = nameForm.exec(name) ?? [];
    const [first = 0, last = 0, count = 0, newest = 0] = parsed.slice(1).map(Number);
    const file = path.join(this.#options.folder, name);
    const { size, mtimeMs } = await fs.stat(file);
    const closed = parsed[2] !== undefined;
    const newestMs = closed ? newest : Math.floor(mtimeMs);
    const segment = { path: file, first, last, count, bytes: size, oldestMs: newestMs, newestMs, closed };
    if (closed || (await this.#recover(segment))) {
      this.last = Math.max(this.last, segment.last);
      return segment;
    }
    await fs.rm(file, { force: true });
    return undefined;
  }

  /** Counts what is whole in a segment that was not closed, and cuts off the rest. Answers whether anything is. */
  async #recover(segment: Segment): Promise<boolean> {
    const { path: file, bytes: size } = segment;
    let whole = 0;
    segment.count = 0;
    for await (const { record, sequence, end } of walk(segment, countedBytes)) {
      [whole, segment.last] = [end, sequence];
      segment.count += 1;
      this.#remember(record);
    }
    if (whole < size) {
      this.#options.log.warn("the end of the event history was cut off", { path: file, bytes: size - whole });
      await fs.truncate(file, whole);
      segment.bytes = whole;
    }
    return segment.count > 0;
  }
}

async function writeAll(file: fs.FileHandle, bytes: Buffer): Promise<void> {
  for (let rest = bytes; rest.length > 0; ) rest = rest.subarray((await file.write(rest)).bytesWritten);
}

async function* readSegment(segment: Segment): AsyncGenerator<Event> {
  try {
    for await (const { record } of walk(segment, chunkBytes)) {
      const event = decodeRecord(record);
      if (event !== undefined) yield event;
    }
  } catch (error) {
    // It was too old, and went while it waited for its reader.
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

interface Walked {
  readonly record: Buffer;
  readonly sequence: number;
  /** Where the next one begins. */
  readonly end: number;
}

/** The records of a segment as far as it is written now; ends before one that is not whole. Shape: a record is valid until the next. */
async function* walk(segment: Segment, pieceBytes: number): AsyncGenerator<Walked> {
  await using file = await openSegment(segment);
  const size = segment.bytes;
  let rest: Buffer = Buffer.alloc(0);
  for (let at = 0; at < size; ) {
    const chunk = Buffer.allocUnsafe(Math.min(Math.max(pieceBytes, rest.length), size - at));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    const bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    let used = 0;
    for (let length = recordLength(bytes, used); length !== undefined; length = recordLength(bytes, used)) {
      const record = bytes.subarray(used, used + length);
      const sequence = recordSequence(record);
      if (sequence === undefined) return;
      used += length;
      yield { record, sequence, end: at - bytes.length + used };
    }
    if (isTorn(bytes, used)) return;
    rest = bytes.subarray(used);
  }
}

/** It may get its other name just now. */
async function openSegment(segment: Segment): Promise<fs.FileHandle> {
  const { path: name } = segment;
  try {
    return await fs.open(name, "r");
  } catch (error) {
    if (!isErrno(error, "ENOENT") || segment.path === name) throw error;
    return fs.open(segment.path, "r");
  }
}
