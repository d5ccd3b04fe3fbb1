import { describe, expect, test } from "bun:test";
import { type GroupResult, readReport, type TestGroup } from "./groups.ts";
import { tryAgain } from "./second-trial.ts";

const groups: readonly TestGroup[] = [
  { name: "check", kind: "steps", script: "scripts/check.ts" },
  { name: "unit", kind: "tests", paths: ["src"], parallel: true, timeoutMs: 1000 },
];

function result(changes: Partial<GroupResult>): GroupResult {
  return { name: "unit", seconds: 1, passed: 10, failed: 0, skips: [], failedFiles: [], ...changes };
}

async function trial(results: readonly GroupResult[], passing: readonly string[]) {
  const tried: string[] = [];
  const answer = await tryAgain(results, groups, (_, file) => {
    tried.push(file);
    return Promise.resolve(passing.includes(file));
  });
  return { ...answer, tried };
}

describe("tryAgain", () => {
  test("counts a file that passes alone as passed, and names it", async () => {
    const { results, unsteady } = await trial([result({ failed: 2, failedFiles: ["a.test.ts"] })], ["a.test.ts"]);
    expect(results).toEqual([result({ passed: 12 })]);
    expect(unsteady).toEqual(["a.test.ts"]);
  });

  test("leaves the group failed when one of its files fails again", async () => {
    const first = result({ failed: 2, failedFiles: ["a.test.ts", "b.test.ts"] });
    const { results, unsteady } = await trial([first], ["a.test.ts"]);
    expect(results).toEqual([{ ...first, failedFiles: ["b.test.ts"] }]);
    expect(unsteady).toEqual(["a.test.ts"]);
  });

  test("tries nothing again when more files failed than fail by accident", async () => {
    const failedFiles = ["a", "b", "c", "d"];
    const { results, tried } = await trial([result({ failed: 4, failedFiles })], failedFiles);
    expect(tried).toEqual([]);
    expect(results).toEqual([result({ failed: 4, failedFiles })]);
  });

  test("tries nothing again when a group broke without saying where", async () => {
    const broken = result({ name: "check", failed: 1 });
    const failed = result({ failed: 1, failedFiles: ["a.test.ts"] });
    const { results, tried } = await trial([broken, failed], ["a.test.ts"]);
    expect(tried).toEqual([]);
    expect(results).toEqual([broken, failed]);
  });
});

describe("readReport", () => {
  test("says in which files a test failed", () => {
    const report = `<testcase name="x" classname="A" file="src/a.test.ts" />
      <testcase name="y" classname="B &amp; C" file="src/b.test.ts"><failure type="AssertionError"></failure></testcase>
      <testcase name="z" classname="B &amp; C" file="src/b.test.ts"><skipped /></testcase>`;
    expect(readReport(report)).toEqual({ passed: 1, failed: 1, skips: ["B & C > z"], failedFiles: ["src/b.test.ts"] });
  });
});
