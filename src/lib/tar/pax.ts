import { type ByteString, TarError, type TarTime } from "./entry.ts";

/** Extended header records in the order they came; GNU's sparse format 0.0 repeats keys, so it is no map. */
export type PaxRecords = readonly (readonly [key: ByteString, value: ByteString])[];

const nulFree = new Set(["path", "linkpath", "uname", "gname"]);

/**
 * Reads an extended header: records of `length key=value\n`, the length counting the whole record.
 * Errors: TarError (a length that lies, no `=`, a NUL where there can be none).
 * Source: POSIX.1-2017 pax, "pax Extended Header".
 */
export function parsePax(data: Buffer): PaxRecords {
  const records: [ByteString, ByteString][] = [];
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const digits = space === -1 ? "" : data.toString("latin1", at, space);
    if (!/^[0-9]{1,9}$/.test(digits)) throw new TarError("malformed extended header");
    const end = at + Number(digits);
    const equals = data.indexOf(0x3d, space);
    if (end > data.length || end <= space + 1 || data[end - 1] !== 0x0a || equals === -1 || equals >= end) {
      throw new TarError("malformed extended header");
    }
    const key = data.toString("latin1", space + 1, equals);
    const value = data.toString("latin1", equals + 1, end - 1);
    if (key === "" || key.includes("\0") || (nulFree.has(key) && value.includes("\0"))) {
      throw new TarError("invalid record in extended header");
    }
    records.push([key, value]);
    at = end;
  }
  return records;
}

/** Writes one record. */
export function formatPaxRecord(key: ByteString, value: ByteString): ByteString {
  // The length counts its own digits.
  let size = key.length + value.length + 3;
  size += String(size).length;
  let record = `${size} ${key}=${value}\n`;
  if (record.length !== size) record = `${record.length} ${key}=${value}\n`;
  return record;
}

/** Reads a whole number of a record. Errors: TarError. */
export function paxNumber(value: ByteString): number {
  const number = /^-?[0-9]+$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new TarError("invalid number in extended header");
  return number;
}

/** Reads a time of a record: seconds, or seconds with a fraction of any length. Errors: TarError. */
export function paxTime(value: ByteString): TarTime {
  const match = /^(-?)([0-9]+)(?:\.([0-9]*))?$/.exec(value);
  const seconds = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(seconds)) throw new TarError("invalid time in extended header");
  const nanos = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { seconds, nanos };
  return nanos === 0 ? { seconds: -seconds, nanos: 0 } : { seconds: -seconds - 1, nanos: 1e9 - nanos };
}

/** Writes a time, with a fraction only where there is one. */
export function formatPaxTime({ seconds, nanos }: TarTime): ByteString {
  if (nanos === 0) return String(seconds);
  if (seconds >= 0) return `${seconds}.${fraction(nanos)}`;
  return `-${-seconds - 1}.${fraction(1e9 - nanos)}`;
}

function fraction(nanos: number): string {
  return String(nanos).padStart(9, "0").replace(/0+$/, "");
}
