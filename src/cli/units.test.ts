import { describe, expect, test } from "bun:test";
import { signalNumber } from "./signals.ts";
import { tableLines } from "./table.ts";
import { formatBytes, formatSpan, parseDuration, parseSize } from "./units.ts";

describe("parseSize", () => {
  test.each([
    ["512m", 512 * 1024 ** 2],
    ["1.5g", 1.5 * 1024 ** 3],
    ["64MiB", 64 * 1024 ** 2],
    ["1024", 1024],
    ["2kb", 2048],
  ])("reads %p", (text, bytes) => {
    expect(parseSize(text, "-m")).toBe(bytes);
  });
  test.each(["", "0", "-1", "12x", "1e9", "m", "99999999t"])("refuses %p", (text) => {
    expect(() => parseSize(text, "-m")).toThrow("is not a size");
  });
});

test("parseDuration reads docker's spellings", () => {
  expect([parseDuration("10", "-t"), parseDuration("1h30m", "-t"), parseDuration("250ms", "-t")]).toEqual([
    10_000, 5_400_000, 250,
  ]);
});

test("formatBytes keeps three digits", () => {
  expect([0, 999, 1024, 1_100_000, 5 * 1024 ** 3].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 KiB",
    "1.05 MiB",
    "5.00 GiB",
  ]);
});

test("formatSpan uses the largest unit", () => {
  expect([10, 1000, 59_000, 3_600_000, 86_400_000 * 3].map(formatSpan)).toEqual([
    "less than a second",
    "1 second",
    "59 seconds",
    "1 hour",
    "3 days",
  ]);
});

test("signalNumber reads names, numbers and real-time signals", () => {
  expect(["TERM", "sigkill", "9", "RTMIN+1", "RTMAX", "nosuch", "65"].map(signalNumber)).toEqual([
    15,
    9,
    9,
    35,
    64,
    undefined,
    undefined,
  ]);
});

describe("tableLines", () => {
  const columns = [
    { title: "A", value: (row: readonly string[]) => row[0] ?? "" },
    { title: "B", value: (row: readonly string[]) => row[1] ?? "", align: "right" as const },
  ];
  test("aligns columns", () => {
    expect(
      tableLines(
        columns,
        [
          ["x", "1"],
          ["longer", "22"],
        ],
        { width: 0, color: false },
      ),
    ).toEqual(["A        B", "x        1", "longer  22"]);
  });
  test("shows control characters as question marks", () => {
    expect(tableLines(columns, [["\x1b[2J", "\n"]], { width: 0, color: false })[1]).toBe(
      "?[2J   ?".replace("   ?", "  ?"),
    );
  });
});
