import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Any, Timestamp } from "@bufbuild/protobuf/wkt";
import { type Envelope, EnvelopeSchema } from "../../../gen/containerd/types/event_pb.ts";
import { type Event, EventSchema } from "../../../gen/lighter/events/v1/history_pb.ts";

/** Before each record: its length and its checksum, 32 bits each, the little end first. */
export const recordHeaderBytes = 8;
/** More than a message on the wire may have: what says to be longer is no record. */
export const recordMaxBytes: number = 16 * 1024 ** 2;

/** Tag of the number, which comes first in every event that any of our lives wrote. */
const sequenceTag = 0x08;

/**
 * An event as a segment holds it, without its header: a lighter.events.v1.Event.
 * Shape: byte for byte what `toBinary` makes, a third of its work: the daemon does this for every event.
 */
export function encodeEvent(sequence: number, envelope: Envelope): Uint8Array {
  const writer = new BinaryWriter().tag(1, WireType.Varint).uint64(sequence).tag(2, WireType.LengthDelimited);
  // What a newer containerd may have put into it, only the library knows how to keep.
  if (envelope.$unknown !== undefined) return writer.bytes(toBinary(EnvelopeSchema, envelope)).finish();
  const { timestamp, namespace, topic, event } = envelope;
  writer.fork();
  if (timestamp !== undefined) writeTimestamp(writer, timestamp);
  if (namespace !== "") writer.tag(2, WireType.LengthDelimited).string(namespace);
  if (topic !== "") writer.tag(3, WireType.LengthDelimited).string(topic);
  if (event !== undefined) writeAny(writer, event);
  return writer.join().finish();
}

function writeTimestamp(writer: BinaryWriter, { seconds, nanos }: Timestamp): void {
  writer.tag(1, WireType.LengthDelimited).fork();
  if (seconds !== 0n) writer.tag(1, WireType.Varint).int64(seconds);
  if (nanos !== 0) writer.tag(2, WireType.Varint).int32(nanos);
  writer.join();
}

function writeAny(writer: BinaryWriter, { typeUrl, value }: Any): void {
  writer.tag(4, WireType.LengthDelimited).fork();
  if (typeUrl !== "") writer.tag(1, WireType.LengthDelimited).string(typeUrl);
  if (value.length > 0) writer.tag(2, WireType.LengthDelimited).bytes(value);
  writer.join();
}

/** Events as records, one after the other. */
export function recordsOf(events: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.allocUnsafe(events.reduce((sum, { length }) => sum + recordHeaderBytes + length, 0));
  let at = 0;
  for (const event of events) {
    bytes.writeUInt32LE(event.length, at);
    bytes.writeUInt32LE(Bun.hash.crc32(event), at + 4);
    bytes.set(event, at + recordHeaderBytes);
    at += recordHeaderBytes + event.length;
  }
  return bytes;
}

/** How long the record is that begins there, with its header; undefined while not all of its header is there. */
export function recordLength(bytes: Buffer, at: number): number | undefined {
  return at + recordHeaderBytes > bytes.length ? undefined : recordHeaderBytes + bytes.readUInt32LE(at);
}

/** The event in a whole record; undefined when its bytes are not what was written. Shape: the same memory, not a copy. */
export function bodyOf(record: Buffer): Buffer | undefined {
  const body = record.subarray(recordHeaderBytes);
  return body[0] === sequenceTag && Bun.hash.crc32(body) === record.readUInt32LE(4) ? body : undefined;
}

/** Decodes an event, of which nothing needs to be kept. Errors: none; undefined for what is no event of ours. */
export function decodeEvent(body: Buffer): Event | undefined {
  try {
    return fromBinary(EventSchema, new Uint8Array(body));
  } catch {
    // A checksum that is right by chance, or another program's file.
    return undefined;
  }
}

/** The number of an event, without a look at the rest; undefined when it has none. */
export function sequenceOf(body: Uint8Array): number | undefined {
  let [sequence, scale] = [0, 1];
  for (let at = 1; at < sequenceEnd(body); at++) {
    sequence += ((body[at] ?? 0) & 0x7f) * scale;
    scale *= 128;
  }
  return Number.isSafeInteger(sequence) && sequence > 0 ? sequence : undefined;
}

/** What tells one event from others, whatever its number. */
export function keyOf(body: Uint8Array): bigint {
  return Bun.hash.wyhash(body.subarray(sequenceEnd(body)));
}

function sequenceEnd(body: Uint8Array): number {
  let at = 1;
  while (at < 10 && (body[at] ?? 0) >= 0x80) at++;
  return at + 1;
}
