import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type LogTimes, readLogTimes, timesPathOf } from "../lib/output-log/index.ts";

const chunkBytes = 256 * 1024;
/** A line's start is looked for in so much first. */
const lineBytes = 1024;
const newline = 0x0a;
/** Where a file of times says what is kept from. */
const startAt = 8;

/** A part of a log, from an offset to before another. */
export interface LogRange {
  readonly from: number;
  readonly to: number;
}

/** A log that is read while it may grow, and while its front may be dropped. */
export class LogFile implements Disposable {
  /** Undefined for a log without times: an old one, or one that no lighter looked after. */
  readonly times: LogTimes | undefined;
  readonly #fd: number;
  readonly #timesFd: number | undefined;

  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.times = readLogTimes(path);
    this.#timesFd = this.times === undefined ? undefined : openSync(timesPathOf(path), "r");
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    if (this.#timesFd !== undefined) closeSync(this.#timesFd);
  }

  get size(): number {
    return fstatSync(this.#fd).size;
  }

  /** The last change, in milliseconds since the epoch: when what came last came, where nobody noted it. */
  get changedMs(): number {
    return Math.floor(fstatSync(this.#fd).mtimeMs);
  }

  /** The part that came between two moments; both may be left out. Lines count by when they were whole. */
  between(since: number | undefined, until: number | undefined): LogRange {
    const { size, times, changedMs } = this;
    const first = this.#lineStart(this.#firstKept(), true);
    if (times === undefined) return { from: first, to: size };
    const noted = times.ends.at(-1) ?? 0;
    const since0 = since === undefined ? 0 : since > changedMs ? size : times.offsetSince(since);
    const until0 = until === undefined || until >= changedMs ? size : Math.min(times.offsetAfter(until), noted);
    const to = until0 >= size ? size : this.#lineStart(until0, false);
    return { from: Math.max(first, this.#lineStart(since0, false)), to: Math.max(first, to) };
  }

  /** Where the last `lines` lines of a part begin. */
  tail({ from, to }: LogRange, lines: number): number {
    if (lines === 0) return to;
    let wanted = lines;
    for (let end = to; end > from; ) {
      const start = Math.max(from, end - chunkBytes);
      const bytes = this.#read(start, end - start);
      for (let i = bytes.length - 1; i >= 0; i--) {
        if (bytes[i] !== newline || start + i === to - 1) continue;
        wanted -= 1;
        if (wanted === 0) return start + i + 1;
      }
      end = start;
    }
    return from;
  }

  /** Gives a part piece by piece, and answers where it ended. What is dropped meanwhile is left out. */
  copy({ from, to }: LogRange, write: (bytes: Uint8Array, at: number) => void): number {
    for (let at = from; at < to; ) {
      const bytes = this.#read(at, Math.min(chunkBytes, to - at));
      if (bytes.length === 0) return at;
      const skipped = Math.max(0, Math.min(bytes.length, this.#firstKept() - at));
      if (skipped < bytes.length) write(bytes.subarray(skipped), at + skipped);
      at += bytes.length;
    }
    return Math.max(from, to);
  }

  #read(at: number, length: number): Uint8Array {
    const buffer = new Uint8Array(length);
    return buffer.subarray(0, readSync(this.#fd, buffer, 0, length, at));
  }

  /** What the file of times says now: a hole may have come since. */
  #firstKept(): number {
    if (this.#timesFd === undefined) return 0;
    const view = new DataView(new ArrayBuffer(8));
    return readSync(this.#timesFd, view, 0, 8, startAt) === 8 ? view.getFloat64(0, true) : 0;
  }

  /** The start of the line in which an offset lies, or, with `next`, of the one after it; an offset at a line's start is that. */
  #lineStart(offset: number, next: boolean): number {
    if (offset <= 0) return 0;
    if (next) {
      for (let at = offset; ; ) {
        const bytes = this.#read(at, chunkBytes);
        const found = bytes.indexOf(newline);
        if (found >= 0) return at + found + 1;
        if (bytes.length === 0) return offset;
        at += bytes.length;
      }
    }
    for (let [end, length] = [offset, lineBytes]; end > 0; end -= length, length = Math.min(2 * length, chunkBytes)) {
      const start = Math.max(0, end - length);
      const found = this.#read(start, end - start).lastIndexOf(newline);
      if (found >= 0) return start + found + 1;
    }
    return 0;
  }

  /** How many lines a part has; a last one without an end counts, as in `tail`. */
  linesIn({ from, to }: LogRange): number {
    let lines = 0;
    let last = newline;
    this.copy({ from, to }, (bytes) => {
      for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) lines += 1;
      last = bytes.at(-1) ?? last;
    });
    return last === newline ? lines : lines + 1;
  }

  /** A part in pieces of whole lines, each with when it was there; the last piece may have no time yet. */
  *pieces({ from, to }: LogRange): Generator<LogRange & { readonly time: number }> {
    let at = from;
    for (const [n, end] of this.times?.ends.entries() ?? []) {
      if (end <= at || at >= to) continue;
      const cut = end >= to ? to : this.#lineStart(end, false);
      if (cut <= at) continue;
      yield { from: at, to: cut, time: this.times?.times[n] ?? 0 };
      at = cut;
    }
    if (at < to) yield { from: at, to, time: Number.POSITIVE_INFINITY };
  }
}
