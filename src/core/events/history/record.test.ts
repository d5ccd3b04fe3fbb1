import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type Envelope, EnvelopeSchema } from "../../../gen/containerd/types/event_pb.ts";
import { EventSchema } from "../../../gen/lighter/events/v1/history_pb.ts";
import { decodeEvent, encodeEvent, keyOf, sequenceOf } from "./record.ts";

const full: Envelope = create(EnvelopeSchema, {
  timestamp: { seconds: 1_790_000_000n, nanos: 999_999_999 },
  namespace: "default",
  topic: "/tasks/exit",
  event: { typeUrl: "containerd.events.TaskExit", value: new Uint8Array(300).fill(7) },
});

const envelopes: readonly (readonly [string, Envelope])[] = [
  ["one as it comes", full],
  ["nothing", create(EnvelopeSchema)],
  ["empty parts", create(EnvelopeSchema, { timestamp: {}, event: {} })],
  ["letters of more than a byte", create(EnvelopeSchema, { namespace: "ü", topic: "/日本", event: { typeUrl: "é" } })],
  ["a moment before the epoch", create(EnvelopeSchema, { timestamp: { seconds: -5n, nanos: 1 } })],
  [
    "what a newer containerd may add",
    create(EnvelopeSchema, { ...full, $unknown: [{ no: 9, wireType: 0, data: new Uint8Array([5]) }] }),
  ],
];

describe("encodeEvent", () => {
  test.each(envelopes)("makes the bytes that the library makes of %s", (_title, envelope) => {
    for (const sequence of [1, 127, 128, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
      const event = create(EventSchema, { sequence: BigInt(sequence), envelope });
      const bytes = encodeEvent(sequence, envelope);
      expect(Buffer.from(bytes)).toEqual(Buffer.from(toBinary(EventSchema, event)));
      expect(sequenceOf(bytes)).toBe(sequence);
      expect(keyOf(bytes)).toBe(keyOf(encodeEvent(1, envelope)));
      expect(decodeEvent(Buffer.from(bytes))).toEqual(event);
    }
  });
});

describe("keyOf", () => {
  test("tells apart what differs in a nanosecond", () => {
    const later = create(EnvelopeSchema, {
      ...full,
      timestamp: create(TimestampSchema, { seconds: 1_790_000_000n, nanos: 999_999_998 }),
    });
    expect(keyOf(encodeEvent(1, later))).not.toBe(keyOf(encodeEvent(1, full)));
  });
});
