import { expect, test } from "bun:test";
import { readSources } from "./source-files.ts";

/** What a module that waits at its top has not made yet, where the work that it waits for would need it. */
function madeTooLate(text: string): readonly string[] {
  const lines = text.split("\n");
  const waits = lines.findIndex((line) => line.startsWith("await "));
  if (waits < 0) return [];
  return lines.slice(waits).filter((line) => /^(?:export )?(?:abstract )?(?:class|const|let) /.test(line));
}

// From source such a class is there all the same; in the one executable it is not, and only there the work fails.
test("a module that waits at its top makes its classes and values before", () => {
  expect(madeTooLate("await serve();\nclass Late {}\nfunction early() {}\n")).toEqual(["class Late {}"]);
  const files = readSources().filter(({ path }) => /^(?:src|bin)\//.test(path) && !path.endsWith(".test.ts"));
  expect(files.length).toBeGreaterThan(500);
  const late = files.flatMap(({ path, text }) => madeTooLate(text).map((line) => `${path}: ${line}`));
  expect(late).toEqual([]);
});
