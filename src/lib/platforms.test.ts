import { describe, expect, test } from "bun:test";
import { FaultError } from "./faults.ts";
import {
  allPlatforms,
  anyPlatformOf,
  formatPlatform,
  normalizePlatform,
  onlyPlatform,
  orderedPlatforms,
  parsePlatform,
  strictPlatform,
} from "./platforms.ts";

const same = (text: string): string => formatPlatform(normalizePlatform(parsePlatform(text)));

describe("parsePlatform", () => {
  // Expected values: containerd/platforms platforms_test.go.
  test.each([
    ["linux/amd64", "linux/amd64"],
    ["linux/x86_64/v2", "linux/amd64/v2"],
    ["Linux/AMD64/v1", "linux/amd64"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64/v8"],
    ["linux/armhf", "linux/arm"],
    ["linux/arm/v6", "linux/arm/v6"],
    ["linux/armel", "linux/arm/v6"],
    ["i386", "linux/386"],
    ["arm64", "linux/arm64"],
    ["macos/arm64", "darwin/arm64"],
    ["windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"],
    ["windows(10.0.17763+win32k)/amd64", "windows(10.0.17763+win32k)/amd64"],
    ["linux(+b+a)/amd64", "linux(+a+b)/amd64"],
  ])("reads %s as %s", (text, want) => {
    expect(formatPlatform(parsePlatform(text))).toBe(want);
  });

  test.each(["", "nosuch", "linux/*", "linux/", "a/b/c/d", "linux/amd 64", "../../etc", "linux(%zz)/amd64"])(
    "refuses %p",
    (text) => {
      expect(() => parsePlatform(text)).toThrow(FaultError);
    },
  );
});

describe("normalizePlatform", () => {
  test.each([
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/arm64/v9.0", "linux/arm64/v9"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/arm/7", "linux/arm/v7"],
  ])("makes %s into %s", (text, want) => {
    expect(same(text)).toBe(want);
  });
});

describe("onlyPlatform", () => {
  test.each([
    ["linux/amd64", ["linux/amd64", "linux/386"], ["linux/amd64/v2", "linux/arm64", "windows/amd64"]],
    ["linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"], ["linux/amd64/v4"]],
    [
      "linux/arm64",
      ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v5"],
      ["linux/arm64/v8.1", "linux/amd64"],
    ],
    ["linux/arm64/v9", ["linux/arm64/v9", "linux/arm64/v8.5", "linux/arm64", "linux/arm/v7"], ["linux/arm64/v8.6"]],
    ["linux/arm/v7", ["linux/arm/v7", "linux/arm/v6"], ["linux/arm/v8", "linux/arm64"]],
    ["linux/riscv64", ["linux/riscv64"], ["linux/amd64"]],
  ])("of %s takes the nearest first", (text, takes, refuses) => {
    const matcher = onlyPlatform(parsePlatform(text));
    const all = [...takes].reverse().concat(refuses).map(parsePlatform);
    const sorted = all.filter((one) => matcher.matches(one)).sort((a, b) => matcher.compare(a, b));
    expect(sorted.map((one) => formatPlatform(normalizePlatform(one)))).toEqual(takes.map(same));
  });

  test("asks of the host every feature that an image needs, and takes the image with most of them", () => {
    const matcher = onlyPlatform(parsePlatform("linux(+a+b)/amd64"));
    const offers = ["linux/amd64", "linux(+a)/amd64", "linux(+a+c)/amd64"].map(parsePlatform);
    const taken = offers.filter((one) => matcher.matches(one)).sort((a, b) => matcher.compare(a, b));
    expect(taken.map(formatPlatform)).toEqual(["linux(+a)/amd64", "linux/amd64"]);
  });
});

describe("the other matchers", () => {
  const [amd64, arm64, i386] = ["linux/amd64", "linux/arm64", "linux/386"].map(parsePlatform) as [never, never, never];

  test("take what they say", () => {
    expect([amd64, arm64, i386].map(strictPlatform(amd64).matches)).toEqual([true, false, false]);
    expect([amd64, arm64, i386].map(anyPlatformOf([amd64, arm64]).matches)).toEqual([true, true, false]);
    expect([amd64, arm64, i386].map(allPlatforms.matches)).toEqual([true, true, true]);
  });

  test("order as they were given", () => {
    expect([i386, amd64, arm64].sort(orderedPlatforms([arm64, amd64]).compare)).toEqual([arm64, amd64, i386]);
    expect(anyPlatformOf([arm64, amd64]).compare(amd64, arm64)).toBe(0);
  });
});
