import { describe, expect, test } from "bun:test";
import { notBefore, systemClock } from "./clock.ts";
import { Instant } from "./instant.ts";

const at = (seconds: number, nanos: number): Instant => Instant.of({ seconds, nanos });

describe("Instant", () => {
  test.each([
    [at(0, 0), "1970-01-01T00:00:00Z"],
    [at(1_767_323_045, 1), "2026-01-02T03:04:05.000000001Z"],
    [at(1_767_323_045, 120_000_000), "2026-01-02T03:04:05.12Z"],
    [at(-1, 999_999_999), "1969-12-31T23:59:59.999999999Z"],
    [at(-62_135_596_800, 0), "0001-01-01T00:00:00Z"],
  ])("toString() and parse() of %o", (instant, text) => {
    expect(instant.toString()).toBe(text);
    expect(Instant.parse(text)).toEqual(instant);
  });

  test.each([
    ["2026-01-02T03:04:05.678Z", at(1_767_323_045, 678_000_000)],
    ["2026-01-02T05:04:05.1234567891+02:00", at(1_767_323_045, 123_456_789)],
    ["", undefined],
    ["yesterday", undefined],
    ["2026-13-02T03:04:05Z", undefined],
  ])("parse() of %p", (text, wanted) => {
    expect(Instant.parse(text)).toEqual(wanted);
  });

  test("of() carries nanoseconds over, upwards and downwards", () => {
    expect(at(1, 1_500_000_000)).toEqual(at(2, 500_000_000));
    expect(at(1, -1)).toEqual(at(0, 999_999_999));
  });

  test.each([0n, 1n, -1n, 1_767_323_045_123_456_789n, 9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n])(
    "ofNanos(%p) goes there and back",
    (nanos) => {
      expect(Instant.ofNanos(nanos).toNanos()).toBe(nanos);
    },
  );

  test("ms is rounded down, also before the epoch", () => {
    expect(at(1, 1_999_999).ms).toBe(1001);
    expect(Instant.ofMs(-1).ms).toBe(-1);
    expect(at(-1, 999_999_999).ms).toBe(-1);
  });

  test("isBefore() and notBefore() tell moments of one millisecond apart", () => {
    const [early, late] = [at(5, 1), at(5, 2)];
    expect([early.isBefore(late), late.isBefore(early), early.isBefore(early)]).toEqual([true, false, false]);
    expect([notBefore(early, late), notBefore(late, early)]).toEqual([late, late]);
  });

  test("plusMs() keeps the nanoseconds below", () => {
    expect(at(1, 999_999_999).plusMs(1)).toEqual(at(2, 999_999));
  });
});

describe("systemClock", () => {
  test("is the system's time, to more than the microsecond", () => {
    const before = Date.now();
    const told = Array.from({ length: 100 }, () => systemClock());
    const after = Date.now();
    for (const [index, instant] of told.entries()) {
      expect(instant.ms).toBeGreaterThanOrEqual(before);
      expect(instant.ms).toBeLessThanOrEqual(after);
      expect(instant.isBefore(told[index - 1] ?? instant)).toBe(false);
    }
    expect(told.some(({ nanos }) => nanos % 1000 !== 0)).toBe(true);
  });
});
