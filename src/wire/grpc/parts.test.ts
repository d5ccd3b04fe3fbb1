import { describe, expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import { ReadContentResponseSchema } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { formatTimeout, parseTimeout } from "../grpc-timeouts.ts";
import { Deadlines } from "./deadlines.ts";
import { MessageEncoder } from "./message-encoder.ts";
import { MessageReader } from "./message-reader.ts";
import { decodeMessage, encodeMessage } from "./status-fields.ts";

describe("parseTimeout", () => {
  test.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["3S", 3000],
    ["99999999m", 99_999_999],
    ["5u", 0.005],
    ["7n", 0.000_007],
    ["", undefined],
    ["1", undefined],
    ["123456789m", undefined],
    ["-1S", undefined],
    ["1s", undefined],
  ])("%p is %p ms", (text, ms) => {
    expect(parseTimeout(text)).toBe(ms);
  });

  test.each([0, 1, 0.4, 5000, 99_999_999, 100_000_000, 1e12])("undoes formatTimeout(%d), never below it", (ms) => {
    expect(parseTimeout(formatTimeout(ms))!).toBeGreaterThanOrEqual(ms);
  });
});

describe("encodeMessage", () => {
  test.each([
    ["plain text: not found", "plain text: not found"],
    ["100%", "100%25"],
    ["ü\n", "%C3%BC%0A"],
    ["", ""],
  ])("%p becomes %p and back", (plain, encoded) => {
    expect(encodeMessage(plain)).toBe(encoded);
    expect(decodeMessage(encoded)).toBe(plain);
  });

  test("decoding leaves broken escapes alone", () => {
    expect(decodeMessage("50% of %zz%41")).toBe("50% of %zzA");
  });
});

describe("MessageReader", () => {
  const messages = ["", "a", "bcd", "x".repeat(300)];
  const stream = Buffer.concat(
    messages.map((text) => {
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(text.length, 1);
      return Buffer.concat([prefix, Buffer.from(text)]);
    }),
  );

  test("reads the same however the bytes are cut", () => {
    for (const size of [1, 2, 3, 4, 5, 6, 7, 50, 1000]) {
      const reader = new MessageReader(1000);
      const seen: string[] = [];
      for (let at = 0; at < stream.length; at += size) {
        reader.push(stream.subarray(at, at + size));
        for (let next = reader.next(); next !== undefined; next = reader.next()) seen.push(next.toString());
      }
      expect(seen).toEqual(messages);
      expect(reader.partial).toBe(false);
    }
  });

  test("takes no more memory than came, and uses what it is given back", () => {
    const reader = new MessageReader(16 << 20);
    const bytes = Buffer.alloc(5 + (1 << 20), 7);
    bytes.writeUIntBE(1 << 20, 0, 5);
    const memories = new Set<ArrayBufferLike>();
    for (let round = 0; round < 5; round++) {
      for (let at = 0; at < bytes.length; at += 16_384) reader.push(bytes.subarray(at, at + 16_384));
      const message = reader.next();
      expect(message?.equals(bytes.subarray(5))).toBe(true);
      if (message !== undefined) reader.giveBack(message);
      memories.add(message?.buffer as ArrayBufferLike);
    }
    expect(memories.size).toBe(1);
  });

  test("uses the memory of several messages that wait at once again", () => {
    const reader = new MessageReader(16 << 20);
    const bytes = Buffer.alloc(5 + (1 << 18), 7);
    bytes.writeUIntBE(1 << 18, 0, 5);
    const memories = new Set<ArrayBufferLike>();
    for (let round = 0; round < 5; round++) {
      for (let message = 0; message < 3; message++) reader.push(bytes);
      const taken = [reader.next(), reader.next(), reader.next()];
      for (const message of taken) {
        if (message === undefined) continue;
        memories.add(message.buffer);
        reader.giveBack(message);
      }
    }
    expect(memories.size).toBe(3);
  });

  test("refuses a message as soon as its length is known", () => {
    const reader = new MessageReader(1000);
    reader.push(Buffer.of(0, 0xff, 0, 0, 1));
    expect(() => reader.next()).toThrow("grpc: received message larger than max (4278190081 vs. 1000)");
  });
});

describe("MessageEncoder", () => {
  const encoder = new MessageEncoder(ReadContentResponseSchema);

  test.each([0, 100, 100_000])("a stream's message with %d bytes of data decodes to what it was", (size) => {
    const data = new Uint8Array(size).fill(7);
    const { head, bulk } = encoder.encodeForStream({ offset: 5n, data });
    expect(bulk === undefined).toBe(size < 32 * 1024);
    const whole = Buffer.concat([head, bulk ?? new Uint8Array()]);
    expect(fromBinary(ReadContentResponseSchema, whole)).toMatchObject({ offset: 5n, data });
  });
});

describe("Deadlines", () => {
  test("fires those that are due, in time, and forgets those that were removed", async () => {
    using deadlines = new Deadlines();
    const fired: string[] = [];
    const expiring = (name: string) => ({ expire: () => void fired.push(name) });
    const last = Promise.withResolvers<void>();
    const now = performance.now();
    const removed = expiring("removed");
    const slot = deadlines.add(removed, now + 10);
    deadlines.add({ expire: last.resolve }, now + 40);
    deadlines.add(expiring("later"), now + 20);
    deadlines.add(expiring("first"), now + 5);
    deadlines.remove(removed, slot);
    await last.promise;
    expect(performance.now() - now).toBeGreaterThanOrEqual(40);
    expect(fired).toEqual(["first", "later"]);
  });
});
