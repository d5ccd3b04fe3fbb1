import { closeSync, fdatasync, ftruncateSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import type { Event } from "../../../gen/lighter/events/v1/history_pb.ts";
import type { Logger } from "../../../lib/log.ts";
import { isErrno } from "../../../sys/index.ts";
import { decodeEvent, keyOf } from "./record.ts";
import { closedName, openName, readNames, type Segment, statSegment, walk } from "./segment-files.ts";

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

/** Records that go into a segment together. */
export interface Batch {
  readonly bytes: Buffer;
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

/** What is kept goes in eighths: between seven eighths and the whole of each limit is there. */
const parts = 8;
/** Read at once: some hundred events, which are decoded in less than a millisecond. */
const chunkBytes = 16 * 1024;
/** The same where records are only counted. */
const countedBytes = 64 * 1024;
/** What nothing can be read of is kept under this name, the last of it: who wonders what is missing may look. */
const unreadableName = "unreadable";

/**
 * Records of events in files of a folder: one is appended to, the others are closed and go when they are too many, too large or
 * too old.
 * Effects: `append` writes into the kernel's memory, which takes some microseconds, as the database's own log does; nothing waits for the disk. What
 * a killed daemon wrote is there, and a power cut takes what the kernel had not written yet. A record that was cut short is cut off
 * when the next daemon loads.
 */
export class Segments implements AsyncDisposable {
  readonly #options: SegmentsOptions;
  #segments: Segment[] = [];
  #events = 0;
  #bytes = 0;
  #fd: number | undefined;
  /** What waits for the disk, one after the other. */
  #later: Promise<void> = Promise.resolve();
  /** The number of the last event that is there; 0 for none. */
  last = 0;

  /** Makes the folder where it is missing. Errors: as the filesystem's. */
  constructor(options: SegmentsOptions) {
    this.#options = options;
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  }

  /**
   * Finds what is there: before it nothing is appended or read. Only what a killed daemon wrote to is read for it.
   * Errors: as the filesystem's; then it may be called again. A file that can't be read is left alone, and the log says so.
   */
  async load(): Promise<void> {
    const { folder, log } = this.#options;
    const found: Segment[] = [];
    for (const named of readNames(await fs.readdir(folder))) {
      // Also of what can't be read: its numbers were given.
      this.last = Math.max(this.last, named.first, named.said?.[0] ?? 0);
      try {
        const segment = await statSegment(folder, named);
        if (segment !== undefined && (named.said !== undefined || (await this.#recover(segment)))) found.push(segment);
      } catch (error) {
        log.warn("a part of the event history can't be read", { path: path.join(folder, named.name), error });
      }
    }
    this.#segments = found;
    this.#events = this.#bytes = 0;
    for (const { last, count, bytes } of found) {
      this.last = Math.max(this.last, last);
      this.#events += count;
      this.#bytes += bytes;
    }
    // A daemon that was killed while it closed one may have left two that are open: the last alone goes on.
    for (const segment of found.slice(0, -1)) this.#seal(segment, undefined);
    this.prune();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const current = this.#segments.at(-1);
    // With a name that tells the next daemon all that it needs to know.
    if (current !== undefined && this.#fd !== undefined) this.#sealCurrent(current);
    await this.#later;
  }

  /**
   * Appends records. Errors: as the filesystem's; nothing of them is there then.
   * Effects: whole before it returns, for everybody who reads the file.
   */
  append(batch: Batch): void {
    const { segment, fd } = this.#current(batch.first);
    try {
      writeAll(fd, batch.bytes, segment.bytes);
    } catch (error) {
      cutOff(fd, segment.bytes);
      throw error;
    }
    segment.bytes += batch.bytes.length;
    segment.count += batch.count;
    segment.newestMs = this.#options.now();
    segment.last = this.last = batch.last;
    this.#bytes += batch.bytes.length;
    this.#events += batch.count;
    this.prune();
  }

  /** Events from a number on to before another, oldest first. What goes meanwhile is left out. Errors: as the filesystem's. */
  async *read(from: number, before: number, sinceMs: number): AsyncGenerator<Event> {
    const oldest = Math.max(sinceMs, this.#options.now() - this.#options.limits.maxAgeMs);
    // The oldest may go meanwhile.
    for (const segment of this.#segments.slice()) {
      if (segment.last < from || segment.first >= before || segment.newestMs < oldest) continue;
      for await (const { body, sequence } of this.#walk(segment, chunkBytes)) {
        if (sequence >= before) return;
        const event = sequence < from ? undefined : decodeEvent(body);
        if (event !== undefined) yield event;
      }
    }
  }

  /** What tells the newest events from others: of so many at least, where there are so many. Errors: as the filesystem's. */
  async newestKeys(least: number): Promise<Set<bigint>> {
    const keys = new Set<bigint>();
    for (const segment of this.#segments.slice().reverse()) {
      if (keys.size >= least) break;
      const skipped = segment.count - (least - keys.size);
      let n = 0;
      for await (const { body } of this.#walk(segment, countedBytes)) if (n++ >= skipped) keys.add(keyOf(body));
    }
    return keys;
  }

  /**
   * Takes away what is beyond the limits, but for the newest segment: its name alone tells the next daemon which numbers were given.
   * Effects: files go later.
   */
  prune(): void {
    const { limits, now, log } = this.#options;
    const ofPast = now() - limits.maxAgeMs;
    while (this.#segments.length > 1) {
      const [gone] = this.#segments;
      if (gone === undefined) return;
      const over = this.#events > limits.maxEvents || this.#bytes > limits.maxBytes || gone.newestMs < ofPast;
      if (!over) return;
      this.#segments.shift();
      this.#events -= gone.count;
      this.#bytes -= gone.bytes;
      this.#then(async () => {
        await fs.rm(gone.path, { force: true }).catch((error: unknown) => {
          log.warn("the event history's oldest part can't be removed", { path: gone.path, error });
        });
      });
    }
  }

  /** The segment that is written to: the last one while it is not full, or a new one. */
  #current(first: number): { readonly segment: Segment; readonly fd: number } {
    const last = this.#segments.at(-1);
    if (last !== undefined && !this.#isFull(last)) {
      if (this.#fd !== undefined) return { segment: last, fd: this.#fd };
      const fd = last.sealed ? undefined : this.#openAgain(last);
      if (fd !== undefined) return { segment: last, fd };
    }
    if (last !== undefined && this.#fd !== undefined) this.#sealCurrent(last);
    const at = this.#options.now();
    const file = path.join(this.#options.folder, openName({ first }));
    this.#fd = openSync(file, "wx", 0o600);
    const times = { oldestMs: at, newestMs: at };
    const segment = { path: file, first, last: first, count: 0, bytes: 0, ...times, sealed: false, isBroken: false };
    this.#segments.push(segment);
    return { segment, fd: this.#fd };
  }

  /** Whether the next event begins another one: also where nobody could read what stands behind what can't be read. */
  #isFull({ count, bytes, oldestMs, isBroken }: Segment): boolean {
    const { limits, now } = this.#options;
    return (
      isBroken ||
      count * parts >= limits.maxEvents ||
      bytes * parts >= limits.maxBytes ||
      (bytes > 0 && (now() - oldestMs) * parts >= limits.maxAgeMs)
    );
  }

  /** Goes on with a segment of the life before; undefined where that can't be. */
  #openAgain(segment: Segment): number | undefined {
    const { folder, log } = this.#options;
    const file = path.join(folder, openName(segment));
    try {
      // First its name: whoever finds it after a death has to count.
      if (segment.path !== file) renameSync(segment.path, file);
      segment.path = file;
      this.#fd = openSync(file, "r+");
    } catch (error) {
      segment.sealed = true;
      log.warn("a part of the event history can't be gone on with", { path: segment.path, error });
    }
    return this.#fd;
  }

  #sealCurrent(segment: Segment): void {
    const fd = this.#fd;
    this.#fd = undefined;
    this.#seal(segment, fd);
  }

  /** Closes a segment, later: on the disk first, then under the name that says so. */
  #seal(segment: Segment, fd: number | undefined): void {
    segment.sealed = true;
    const file = path.join(this.#options.folder, closedName(segment));
    if (segment.path === file) return;
    this.#then(async () => {
      try {
        if (fd !== undefined) await syncAndClose(fd);
        await fs.rename(segment.path, file);
        segment.path = file;
      } catch (error) {
        // It stays readable, and the next daemon counts what is in it.
        this.#options.log.warn("a part of the event history can't be closed", { path: segment.path, error });
      }
    });
  }

  #then(work: () => Promise<void>): void {
    this.#later = this.#later.then(work);
  }

  /** As `walk`; of a segment that went while it waited for its reader, nothing more. */
  async *#walk(segment: Segment, pieceBytes: number): ReturnType<typeof walk> {
    const size = segment.bytes;
    let end = 0;
    try {
      for await (const walked of walk(segment, pieceBytes)) {
        end = walked.end;
        yield walked;
      }
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      return;
    }
    if (end >= size || segment.isBroken) return;
    segment.isBroken = true;
    this.#options.log.warn("a part of the event history can't be read", { path: segment.path, from: end });
  }

  /**
   * Counts what is whole in a segment that was not closed, and cuts off the rest.
   * Answers whether it stays, as one does that nothing was written to: it says which numbers may have been given.
   */
  async #recover(segment: Segment): Promise<boolean> {
    const { log, folder } = this.#options;
    const { path: file, bytes: size } = segment;
    let whole = 0;
    for await (const { sequence, end } of walk(segment, countedBytes)) {
      [whole, segment.last] = [end, sequence];
      segment.count += 1;
    }
    segment.bytes = whole;
    if (whole === size) return true;
    log.warn("the end of the event history was cut off", { path: file, bytes: size - whole });
    try {
      if (whole > 0) await fs.truncate(file, whole);
      else await fs.rename(file, path.join(folder, unreadableName));
    } catch (error) {
      // What is whole is read all the same; nothing goes behind it.
      segment.sealed = true;
      log.warn("the end of the event history can't be cut off", { path: file, error });
    }
    return whole > 0;
  }
}

function writeAll(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

/** Takes away what a failed write left. */
function cutOff(fd: number, size: number): void {
  try {
    ftruncateSync(fd, size);
  } catch {
    // The next write goes over it, and readers stop before it.
  }
}

async function syncAndClose(fd: number): Promise<void> {
  const failure = await new Promise<Error | null>((resolve) => fdatasync(fd, resolve));
  closeSync(fd);
  if (failure !== null) throw failure;
}
