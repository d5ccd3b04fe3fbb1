import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { type LogTarget, timesPathOf } from "./log-address.ts";
import { type LogTimes, parseLogTimes, timesFormat } from "./log-times.ts";

export interface LogRecorderOptions {
  readonly target: LogTarget;
  /** Gives a part of the file back to the disk; its length stays. */
  readonly punchHole: (fd: number, offset: number, length: number) => void;
}

/** Blocks of the filesystems that we know. */
const blockBytes = 4096;
/** More entries than these are thinned: the older a line, the coarser its time. */
const maxEntries = 16_384;

/**
 * Notes when a log's bytes came, and keeps the log within its bound, while somebody else writes it.
 * Shape: whoever writes to the log appends; what is too old becomes a hole at the file's front, so that no offset moves and no
 * writer needs to know. One recorder a log at a time.
 * Effects: small writes and, when the bound is passed, a hole; all within a millisecond. No descriptor stays open.
 */
export class LogRecorder {
  readonly #options: LogRecorderOptions;
  readonly #timesPath: string;
  #start = 0;
  #end = 0;
  #time = 0;
  #entries = 0;
  #canPunch = true;

  /** Takes up the times that are there. Errors: as the filesystem's. */
  constructor(options: LogRecorderOptions) {
    this.#options = options;
    this.#timesPath = timesPathOf(options.target.path);
    const found = this.#load();
    if (found === undefined) this.#begin();
  }

  /** Notes that all that the log has now was there at this moment. Errors: as the filesystem's. */
  note(nowMs: number): void {
    const { size } = statSync(this.#options.target.path);
    if (size === this.#end) return;
    // Somebody emptied it.
    if (size < this.#end) this.#rewrite(0, [], []);
    // Somebody removed them: when the bytes came is forgotten, and not which of them are there.
    else if (this.#end > 0 && !existsSync(this.#timesPath)) this.#rewrite(this.#start, [0], [this.#end]);
    this.#append(Math.max(this.#time, nowMs), size);
    this.#trim(size);
    if (this.#entries > maxEntries) this.#thin();
  }

  #load(): LogTimes | undefined {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(this.#timesPath);
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") return undefined;
      throw error;
    }
    const found = parseLogTimes(bytes);
    if (found === undefined) return undefined;
    this.#entries = found.ends.length;
    const { headerBytes, entryBytes } = timesFormat;
    const whole = headerBytes + this.#entries * entryBytes;
    // An entry that was cut short by a death would put all after it out of step.
    if (bytes.length > whole) truncateSync(this.#timesPath, whole);
    this.#start = found.start;
    this.#end = found.ends.at(-1) ?? 0;
    this.#time = found.times.at(-1) ?? 0;
    return found;
  }

  /** A log that was there before its times: nobody knows when its bytes came. */
  #begin(): void {
    const size = statSync(this.#options.target.path, { throwIfNoEntry: false })?.size ?? 0;
    this.#rewrite(0, size === 0 ? [] : [0], size === 0 ? [] : [size]);
  }

  #append(time: number, end: number): void {
    const fd = openSync(this.#timesPath, "a", 0o600);
    try {
      writeSync(fd, entryOf(time, end));
    } finally {
      closeSync(fd);
    }
    this.#time = time;
    this.#end = end;
    this.#entries += 1;
  }

  /** Drops what is too old: readers learn of it first, so that none of them takes the hole for output. */
  #trim(size: number): void {
    const { target, punchHole } = this.#options;
    const { maxBytes, path } = target;
    const step = Math.max(blockBytes, maxBytes / 8);
    if (maxBytes === 0 || !this.#canPunch || size - this.#start < maxBytes + step) return;
    const start = Math.floor((size - maxBytes) / blockBytes) * blockBytes;
    const from = this.#start;
    this.#writeStart(start);
    const fd = openSync(path, "r+");
    try {
      punchHole(fd, from, start - from);
    } catch (error) {
      // A filesystem without holes keeps it all; that is said once, by whoever made this.
      this.#canPunch = false;
      this.#writeStart(from);
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  #writeStart(start: number): void {
    const fd = openSync(this.#timesPath, "r+");
    try {
      writeSync(fd, header(start).subarray(8), 0, 8, 8);
    } finally {
      closeSync(fd);
    }
    this.#start = start;
  }

  /** Entries of what was dropped go; if there are still too many, every second one of the older half does. */
  #thin(): void {
    const found = this.#load();
    if (found === undefined) return;
    const half = found.ends.length / 2;
    const kept = Array.from(found.ends.keys()).filter(
      (n) => (found.ends[n] ?? 0) > this.#start && (n >= half || n % 2 === 1),
    );
    const pick = (values: Float64Array): number[] => kept.map((n) => values[n] ?? 0);
    this.#rewrite(found.start, pick(found.times), pick(found.ends));
  }

  #rewrite(start: number, times: readonly number[], ends: readonly number[]): void {
    const draft = `${this.#timesPath}.new`;
    const parts = [header(start), ...times.map((time, n) => entryOf(time, ends[n] ?? 0))];
    writeFileSync(draft, Buffer.concat(parts), { mode: 0o600 });
    renameSync(draft, this.#timesPath);
    this.#start = start;
    this.#entries = ends.length;
    this.#end = ends.at(-1) ?? 0;
    this.#time = Math.max(this.#time, times.at(-1) ?? 0);
  }
}

function header(start: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(timesFormat.headerBytes));
  view.setBigUint64(0, timesFormat.magic, true);
  view.setFloat64(8, start, true);
  return new Uint8Array(view.buffer);
}

function entryOf(time: number, end: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(timesFormat.entryBytes));
  view.setFloat64(0, time, true);
  view.setFloat64(8, end, true);
  return new Uint8Array(view.buffer);
}
