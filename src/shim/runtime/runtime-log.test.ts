import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lastError } from "./runtime-log.ts";

describe("lastError", () => {
  test.each([
    ["one line each", '{"level":"error","msg":"first"}\n{"level":"warning","msg":"x"}\n', "first"],
    [
      "several lines each",
      '{\n  "msg": "of a\\nfile",\n  "level": "error"\n}\n{\n  "msg": "last ",\n  "level": "error"\n}\n',
      "last",
    ],
    ["a line that was cut", '{"level":"error","msg":"whole"}\n{"level":"error","ms', "whole"],
    ["no JSON", "panic: oh\n", undefined],
  ])("of %s", (_, text, want) => {
    const folder = mkdtempSync("/tmp/lighter-log-");
    try {
      const path = join(folder, "log.json");
      writeFileSync(path, text);
      expect(lastError(path, 0)).toBe(want);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
