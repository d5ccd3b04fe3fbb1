import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { compileRegexp, RegexpSyntaxError } from "./index.ts";

/** What Go's regexp says of random patterns: pattern, text, and match or refusal. */
const corpus = readFileSync(new URL("corpus.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as [string, string, boolean | "error"]);

function outcome(pattern: string, text: string): boolean | "error" {
  try {
    return compileRegexp(pattern)(text);
  } catch (error) {
    expect(error).toBeInstanceOf(RegexpSyntaxError);
    return "error";
  }
}

describe("compileRegexp", () => {
  test("answers as Go's regexp does on its recorded corpus", () => {
    expect(corpus.length).toBeGreaterThan(300);
    for (const [pattern, text, want] of corpus)
      expect([pattern, text, outcome(pattern, text)]).toEqual([pattern, text, want]);
  });

  test.each([
    ["^docker\\.io/library/[a-z]+:\\d+$", "docker.io/library/busybox:136", true],
    ["^docker\\.io/library/[a-z]+:\\d+$", "docker.io/library/busybox:latest", false],
    ["(?i)SHA256", "sha256:ab", true],
    ["a{2,3}$", "baaa", true],
    ["^(?:a|b)*$", "abab", true],
    ["^$", "", true],
    ["世+", "hello 世世", true],
    ["", "anything", true],
  ])("matches %p against %p: %p", (pattern, text, want) => {
    expect(outcome(pattern, text)).toBe(want);
  });

  test.each(["(", "a**", "[z-a]", "\\1", "(?=a)", "(?<!a)", "a{1001}", "\\p{Nope}", "[", "\\"])(
    "refuses %p",
    (pattern) => {
      expect(outcome(pattern, "x")).toBe("error");
    },
  );

  test("takes time in proportion to the text where backtracking engines explode", () => {
    const text = `${"a".repeat(4000)}!`;
    const start = performance.now();
    for (const pattern of ["^(a*)*b$", "^(a|aa)+$", "(.*)*(.*)*x"]) expect(compileRegexp(pattern)(text)).toBe(false);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test.each(["(((((a{1000}){1000}){1000}){1000}){1000})", "((((){1000}){1000}){1000}){1000}", "a".repeat(5000)])(
    "stays small for a pattern that asks for too much",
    (pattern) => {
      const start = performance.now();
      outcome(pattern, "aaa");
      expect(performance.now() - start).toBeLessThan(1000);
    },
  );
});
