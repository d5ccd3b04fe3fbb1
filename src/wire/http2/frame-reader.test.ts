import { describe, expect, test } from "bun:test";
import { FrameReader } from "./frame-reader.ts";
import { ConnectionError, connectionPreface } from "./protocol.ts";
import { frame } from "./testing.ts";

const frames = [frame(0, 1, 1, Buffer.from("hello")), frame(4, 0, 0), frame(6, 1, 0x7fffffff, Buffer.alloc(8, 7))];
const stream = Buffer.concat([Buffer.from(connectionPreface), ...frames]);

function read(chunks: Buffer[]): string[] {
  const seen: string[] = [];
  const reader = new FrameReader(
    {
      keepsBytes: true,
      onFrame: (type, flags, id, bytes, start, end) => {
        seen.push(`${type} ${flags} ${id} ${bytes.subarray(start, end).toString("hex")}`);
      },
    },
    16_384,
    true,
  );
  for (const chunk of chunks) reader.push(chunk);
  return seen;
}

describe("FrameReader", () => {
  const whole = read([stream]);

  test("reads frames from one chunk", () => {
    expect(whole).toEqual(["0 1 1 68656c6c6f", "4 0 0 ", `6 1 ${0x7fffffff} 0707070707070707`]);
  });

  test("reads the same however the chunks are cut", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(read([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(whole);
    }
    expect(read([...stream].map((byte) => Buffer.of(byte)))).toEqual(whole);
  });

  test.each([true, false])(
    "copies frames that are split together; when bytes are kept (%p), each into its own memory",
    (keepsBytes) => {
      const memories = new Set<ArrayBufferLike>();
      const payloads: number[] = [];
      const onFrame = (_type: number, _flags: number, _id: number, bytes: Buffer, start: number, end: number): void => {
        memories.add(bytes.buffer);
        payloads.push(end - start, bytes[start] as number, bytes[end - 1] as number);
      };
      const reader = new FrameReader({ keepsBytes, onFrame }, 16_384, false);
      for (let round = 1; round <= 5; round++) {
        const bytes = frame(0, 0, 1, Buffer.alloc(round === 3 ? 100 : 16_384, round));
        reader.push(bytes.subarray(0, 4));
        reader.push(bytes.subarray(4, 60));
        reader.push(bytes.subarray(60));
      }
      expect(payloads).toEqual([1, 2, 3, 4, 5].flatMap((round) => [round === 3 ? 100 : 16_384, round, round]));
      expect(memories.size).toBe(keepsBytes ? 5 : 1);
    },
  );

  test("refuses a frame above the limit as soon as its length is known", () => {
    expect(() =>
      read([Buffer.concat([Buffer.from(connectionPreface), Buffer.of(0x00, 0x40, 0x01, 0, 0, 0, 0, 0, 1)])]),
    ).toThrow(ConnectionError);
  });

  test("refuses another protocol", () => {
    expect(() => read([Buffer.from("GET / HTTP/1.1\r\n")])).toThrow("not an HTTP/2 client");
  });
});
