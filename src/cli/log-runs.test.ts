import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFile } from "./log-file.ts";
import { tailRuns } from "./log-runs.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "log-runs-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

// The last line of a stream may have no end yet; it is one of those that were asked for all the same.
test.each([
  ["out 1\nout 2\n", "err 1\n", 1, ["err 1\n"]],
  ["out 1\nout 2\n", "err 1\n", 2, ["out 2\n", "err 1\n"]],
  ["out 1\nout 2\n", "err, unfinished", 1, ["err, unfinished"]],
  ["out 1\nout 2\n", "err 1\nunfinished", 3, ["out 2\n", "err 1\nunfinished"]],
  ["out 1\nout, unfinished", "err 1\n", 2, ["out, unfinished", "err 1\n"]],
])("the end of %j and %j, %d lines of it", (out, err, lines, want) => {
  const texts = [out, err];
  const paths = ["out", "err"].map((name) => join(folder, name));
  paths.forEach((path, n) => writeFileSync(path, texts[n] ?? ""));
  using stack = new DisposableStack();
  const files = paths.map((path) => stack.use(new LogFile(path)));
  const runs = files.map((file, log) => ({ log, range: { from: 0, to: file.size } }));
  const shown = tailRuns(files, runs, lines).map(({ log, range }) => texts[log]?.slice(range.from, range.to));
  expect(shown).toEqual(want);
});
