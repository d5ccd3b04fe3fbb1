import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Envelope } from "../../../gen/containerd/types/event_pb.ts";
import { type Event, EventSchema } from "../../../gen/lighter/events/v1/history_pb.ts";

/** Before each record: its length and its checksum, 32 bits each, the little end first. */
export const recordHeaderBytes = 8;
/** More than a message on the wire may have: what says to be longer is no record. */
export const recordMaxBytes: number = 16 * 1024 ** 2;

/** An event as a segment holds it: the header, then a lighter.events.v1.Event. */
export function encodeRecord(sequence: number, envelope: Envelope): Buffer {
  const body = toBinary(EventSchema, create(EventSchema, { sequence: BigInt(sequence), envelope }));
  const bytes = Buffer.allocUnsafe(recordHeaderBytes + body.length);
  bytes.writeUInt32LE(body.length, 0);
  bytes.writeUInt32LE(Bun.hash.crc32(body), 4);
  bytes.set(body, recordHeaderBytes);
  return bytes;
}

/** How long the record is that begins there, with its header; undefined while not all of it is there. Errors: none; see `isTorn`. */
export function recordLength(bytes: Buffer, at: number): number | undefined {
  if (at + recordHeaderBytes > bytes.length) return undefined;
  const length = recordHeaderBytes + bytes.readUInt32LE(at);
  return at + length > bytes.length ? undefined : length;
}

/** Whether what begins there can't be a record, however much follows. */
export function isTorn(bytes: Buffer, at: number): boolean {
  return at + recordHeaderBytes <= bytes.length && bytes.readUInt32LE(at) > recordMaxBytes;
}

/** The event of a whole record; undefined when its bytes are not what was written. */
export function decodeRecord(record: Buffer): Event | undefined {
  const body = record.subarray(recordHeaderBytes);
  if (Bun.hash.crc32(body) !== record.readUInt32LE(4)) return undefined;
  try {
    return fromBinary(EventSchema, new Uint8Array(body));
  } catch {
    // A checksum that is right by chance, or another program's file: no event of ours.
    return undefined;
  }
}

/** The number of a whole record, without a look at the rest; undefined when its bytes are not what was written. */
export function recordSequence(record: Buffer): number | undefined {
  const body = record.subarray(recordHeaderBytes);
  // The first field is written first, by the same library in all of our lives: its tag, then the number, seven bits a byte.
  if (Bun.hash.crc32(body) !== record.readUInt32LE(4) || body[0] !== 0x08) return undefined;
  let [sequence, scale] = [0, 1];
  for (const byte of body.subarray(1, 10)) {
    sequence += (byte & 0x7f) * scale;
    if (byte < 0x80) return sequence;
    scale *= 128;
  }
  return undefined;
}
