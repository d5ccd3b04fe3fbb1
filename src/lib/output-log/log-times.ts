import { readFileSync } from "node:fs";
import { timesPathOf } from "./log-address.ts";

/**
 * The file of times beside a log: a header of 16 bytes, then entries of 16.
 * Shape: the header is a magic word and the offset where what is kept begins; an entry is a time in milliseconds since the
 * epoch and the log's length then, both as little-endian doubles. Times and lengths never fall. Time 0 means unknown.
 */
export const timesFormat = { magic: 0x31534d49_54474f4cn, headerBytes: 16, entryBytes: 16 } as const;

/** What is known of when a log's bytes came. */
export interface LogTimes {
  /** What lies before was dropped; a line that it cuts is dropped whole. */
  readonly start: number;
  readonly times: Float64Array;
  readonly ends: Float64Array;
  /** When the byte at an offset was there, in milliseconds; undefined after the last entry, 0 where nobody knows. */
  timeOf(offset: number): number | undefined;
  /** Where what came at a moment or later begins: behind all that is known to have come before. */
  offsetSince(ms: number): number;
  /** Where what came after a moment begins. */
  offsetAfter(ms: number): number;
}

/** Reads a log's times; undefined when it has none. */
export function readLogTimes(path: string): LogTimes | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(timesPathOf(path));
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return undefined;
    throw error;
  }
  return parseLogTimes(bytes);
}

/** Reads the bytes of a file of times; an entry that was cut short counts for nothing, undefined when it is no such file. */
export function parseLogTimes(bytes: Uint8Array): LogTimes | undefined {
  const { magic, headerBytes, entryBytes } = timesFormat;
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getBigUint64(0, true) !== magic) return undefined;
  const count = Math.floor((bytes.length - headerBytes) / entryBytes);
  const times = new Float64Array(count);
  const ends = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    times[n] = view.getFloat64(headerBytes + n * entryBytes, true);
    ends[n] = view.getFloat64(headerBytes + n * entryBytes + 8, true);
  }
  const start = view.getFloat64(8, true);
  return {
    start,
    times,
    ends,
    timeOf: (offset) => times[firstIndex(ends, (end) => end > offset)],
    offsetSince: (ms) => ends[firstIndex(times, (time) => time >= ms) - 1] ?? 0,
    offsetAfter: (ms) => ends[firstIndex(times, (time) => time > ms) - 1] ?? 0,
  };
}

/** The first index at which something that stays true once it is true, is true; the length when it never is. */
function firstIndex(values: Float64Array, isTrue: (value: number) => boolean): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isTrue(values[middle] ?? 0)) high = middle;
    else low = middle + 1;
  }
  return low;
}
