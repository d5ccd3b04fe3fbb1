import { describe, expect, test } from "bun:test";
import { readVersion } from "./runtime-kind.ts";

describe("readVersion", () => {
  test.each([
    ["crun version 0.14\n", "/x/crun", "crun", true],
    ["crun version 1.8.1\ncommit: f8a096be\n", "crun", "crun", true],
    ["crun version 1.14\n", "crun", "crun", true],
    ["crun version 1.14.2\n", "other", "crun", true],
    ["crun version 1.14.3\n", "crun", "crun", false],
    ["crun version 1.15\n", "crun", "crun", false],
    ["crun version 1.28\n", "crun", "crun", false],
    ["crun version 2.0.0\n", "crun", "crun", false],
    ["runc version 1.1.5+ds1\n", "runc", "runc", false],
    ["youki version 0.1\n", "youki", "other", false],
    ["", "runc", "other", false],
  ])("of %j from %s", (output, binary, kind, checksSpecVersion) => {
    expect(readVersion(output, binary)).toEqual({ kind: kind as "runc", checksSpecVersion });
  });
});
