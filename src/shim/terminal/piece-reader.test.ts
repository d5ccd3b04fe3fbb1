import { describe, expect, test } from "bun:test";
import { SysError } from "../../sys/index.ts";
import { PieceReader } from "./piece-reader.ts";

const EIO = 5;

/** A reader of what is scripted: sizes of pieces, "later" where there is nothing yet, "gone" once the last user has closed. */
function bed(script: readonly (number | "later" | "gone")[], gathers = true) {
  const left = [...script];
  const seen = { reads: 0, yields: 0, nowMs: 0 };
  const kernel = {
    readNow: (_fd: number, into: Uint8Array) => {
      seen.reads++;
      seen.nowMs += 0.01;
      const next = left.shift() ?? "later";
      if (next === "gone") throw new SysError("read", EIO);
      if (next === "later") return undefined;
      expect(into.length).toBeGreaterThanOrEqual(Math.min(next, 2048));
      const count = Math.min(next, into.length);
      into.fill(65, 0, count);
      return count;
    },
    yieldProcessor: () => {
      seen.yields++;
    },
  };
  const reader = new PieceReader({ kernel, from: 3, gathers, now: () => seen.nowMs });
  reader.begin();
  return { reader, seen };
}

describe("PieceReader.read", () => {
  test("gives what somebody types at once", () => {
    const { reader, seen } = bed([1, 5]);
    expect(reader.read()?.length).toBe(1);
    expect(seen).toMatchObject({ reads: 1, yields: 0 });
    expect(reader.read()?.length).toBe(5);
    expect(reader.read()).toBeUndefined();
    expect(seen.yields).toBe(0);
  });

  test("gives whole pieces that follow one another together, with the small one after them", () => {
    const { reader, seen } = bed([4095, 4095, 4095, 100, 4095]);
    expect(reader.read()?.length).toBe(3 * 4095 + 100);
    expect(seen).toMatchObject({ reads: 4, yields: 0 });
  });

  test("waits for the piece after a whole one, and lets its writer run", () => {
    const { reader, seen } = bed([4095, "later", "later", 4095, "later", 7]);
    expect(reader.read()?.length).toBe(2 * 4095 + 7);
    expect(seen.yields).toBe(3);
  });

  test("waits for a fifth of a millisecond", () => {
    const { reader, seen } = bed([4095]);
    expect(reader.read()?.length).toBe(4095);
    expect(seen.yields).toBeGreaterThan(10);
    expect(seen.nowMs).toBeLessThan(0.25);
  });

  test("waits for little more than half a millisecond in a turn, however often", () => {
    const script = Array.from({ length: 600 }, (_, n) => (n % 6 === 0 ? 4095 : ("later" as const)));
    const { reader, seen } = bed(script);
    expect(reader.read()?.length).toBeGreaterThan(5 * 4095);
    expect(seen.nowMs).toBeGreaterThan(0.5);
    expect(seen.nowMs).toBeLessThan(0.8);
    const { yields } = seen;
    for (let n = 0; n < 30; n++) reader.read();
    expect(seen.yields).toBe(yields);
    reader.begin();
    for (let n = 0; n < 12; n++) reader.read();
    expect(seen.yields).toBeGreaterThan(yields);
  });

  test("gives what came before the end, and then the end", () => {
    const { reader } = bed([4095, 4095, "gone", "gone"]);
    expect(reader.read()?.length).toBe(2 * 4095);
    expect(reader.read()?.length).toBe(0);
  });

  test("fills its memory and no more", () => {
    const { reader } = bed(Array.from({ length: 40 }, () => 4095));
    let bytes = 0;
    for (let part = reader.read(); part !== undefined; part = reader.read()) {
      expect(part.length).toBeLessThanOrEqual(64 << 10);
      bytes += part.length;
    }
    expect(bytes).toBeGreaterThan(30 * 4095);
  });

  test("gives each piece as it comes where it does not gather", () => {
    const { reader, seen } = bed([4095, 4095, "later"], false);
    expect([reader.read()?.length, reader.read()?.length, reader.read()]).toEqual([4095, 4095, undefined]);
    expect(seen.yields).toBe(0);
  });
});
