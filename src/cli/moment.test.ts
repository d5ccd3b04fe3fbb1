import { describe, expect, test } from "bun:test";
import { parseMoment } from "./moment.ts";

const now = Date.parse("2026-01-31T12:00:00Z");

describe("parseMoment", () => {
  test.each([
    ["10m", "2026-01-31T11:50:00.000Z"],
    ["1h30m", "2026-01-31T10:30:00.000Z"],
    ["1.5s", "2026-01-31T11:59:58.500Z"],
    ["-5m", "2026-01-31T12:05:00.000Z"],
    ["1136073600", "2006-01-01T00:00:00.000Z"],
    ["1136073600.250000000", "2006-01-01T00:00:00.250Z"],
    ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"],
    ["2026-01-02T03:04:05.123456789+01:00", "2026-01-02T02:04:05.123Z"],
    ["2026-01-02T03:04Z", "2026-01-02T03:04:00.000Z"],
  ])("%s", (text, wanted) => {
    expect(new Date(parseMoment(text, "--since", now)).toISOString()).toBe(wanted);
  });

  test("takes a time without a zone for this machine's", () => {
    expect(parseMoment("2026-01-02", "--since", now)).toBe(new Date(2026, 0, 2).getTime());
    expect(parseMoment("2026-01-02T03:04:05", "--since", now)).toBe(new Date(2026, 0, 2, 3, 4, 5).getTime());
  });

  test.each(["", "yesterday", "10 m", "5mm", "2026-13-01", "2026-01-02 03:04"])("refuses %p", (text) => {
    expect(() => parseMoment(text, "--since", now)).toThrow("option --since");
  });
});
