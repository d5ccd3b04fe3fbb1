import { expect, test } from "bun:test";
import { formatDuration, parseDuration } from "./duration.ts";

test.each([
  ["0", 0],
  ["10s", 10_000],
  ["1h2m3.5s", 3_723_500],
  ["-100ms", -100],
  [".5s", 500],
  ["1500µs", 1.5],
  ["5", undefined],
  ["", undefined],
  ["5 s", undefined],
  ["1d", undefined],
])("parseDuration(%p) is %p", (text, want) => {
  expect(parseDuration(text)).toBe(want);
});

test.each([
  [0, "0s"],
  [100, "100ms"],
  [10_000, "10s"],
  [90_000, "1m30s"],
  [3_723_500, "1h2m3.5s"],
])("formatDuration(%p) is %p", (ms, want) => {
  expect(formatDuration(ms)).toBe(want);
});
