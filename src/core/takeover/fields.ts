import { fromBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { BoltBucket } from "../../lib/bolt/index.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";

// How containerd writes fields of records. Source: containerd core/metadata/boltutil/helpers.go, core/metadata/images.go.

/** A record's bucket, read whole: its values, and the buckets below it. */
export interface Fields {
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly buckets: ReadonlyMap<string, BoltBucket>;
}

const none: Fields = { values: new Map(), buckets: new Map() };
/** Go's zero time, which containerd shows where none is written. */
const zeroTime: Instant = Instant.of({ seconds: -62_135_596_800, nanos: 0 });
const decoder = new TextDecoder();

export function fieldsOf(bucket: BoltBucket | undefined): Fields {
  if (bucket === undefined) return none;
  const values = new Map<string, Uint8Array>();
  const buckets = new Map<string, BoltBucket>();
  for (const entry of bucket.entries()) {
    const key = textOf(entry.key);
    if (entry.bucket !== undefined) buckets.set(key, entry.bucket);
    else if (entry.value !== undefined) values.set(key, entry.value);
  }
  return { values, buckets };
}

export function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : decoder.decode(bytes);
}

/** A bucket of texts: labels, or annotations. */
export function textsOf(bucket: BoltBucket | undefined): Map<string, string> {
  return new Map([...fieldsOf(bucket).values].map(([key, value]) => [key, textOf(value)]));
}

/** The keys of a bucket, whatever is below them. */
export function keysOf(bucket: BoltBucket | undefined): string[] {
  return bucket === undefined ? [] : [...bucket.entries()].map(({ key }) => textOf(key));
}

/**
 * A time as Go's time.MarshalBinary writes it.
 * Shape: a version, seconds since the year 1, nanoseconds, the zone's offset. Errors: dataLoss.
 */
export function timeOf(bytes: Uint8Array | undefined): Instant {
  if (bytes === undefined) return zeroTime;
  const version = bytes[0];
  if ((version !== 1 || bytes.length !== 15) && (version !== 2 || bytes.length !== 16)) throw damaged("a time");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const nanos = view.getInt32(9);
  const seconds = view.getBigInt64(1) + BigInt(zeroTime.seconds);
  // What the API can carry. Source: google/protobuf/timestamp.proto.
  if (nanos < 0 || nanos > 999_999_999 || seconds < BigInt(zeroTime.seconds) || seconds > 253_402_300_799n)
    throw damaged("a time");
  return Instant.of({ seconds, nanos });
}

/** A signed number as Go's binary.PutVarint writes it; 0 where there is none. Errors: dataLoss. */
export function varintOf(bytes: Uint8Array | undefined): number {
  const folded = bytes === undefined ? 0n : unsigned(bytes);
  return checked((folded & 1n) === 0n ? folded >> 1n : -(folded >> 1n) - 1n);
}

/** An unsigned number as Go's binary.PutUvarint writes it; 0 where there is none. Errors: dataLoss. */
export function uvarintOf(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : checked(unsigned(bytes));
}

/** A message of any type; undefined where there is none. Errors: dataLoss. */
export function anyFrom(bytes: Uint8Array | undefined): Any | undefined {
  if (bytes === undefined) return undefined;
  try {
    return fromBinary(AnySchema, bytes);
  } catch (error) {
    throw damaged(`a message (${messageOf(error)})`);
  }
}

function unsigned(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const [index, byte] of bytes.entries()) {
    if (index === 10) break;
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw damaged("a number");
}

function checked(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw damaged("a number");
  return number;
}

function damaged(what: string): FaultError {
  return new FaultError("dataLoss", `${what} cannot be read`);
}
