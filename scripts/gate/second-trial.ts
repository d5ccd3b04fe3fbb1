import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { type GroupResult, runTests, type TestGroup } from "./groups.ts";
import { findLeftovers, listOutside } from "./leftovers.ts";

/** More files than this do not fail by accident. */
const mostFiles = 3;

type TestFiles = Extract<TestGroup, { kind: "tests" }>;

export interface SecondTrial {
  /** The groups, in which the failures of files that passed now are counted no more. */
  readonly results: readonly GroupResult[];
  /** The files that failed among others and passed alone: each has a defect, in itself or in what it tests. */
  readonly unsteady: readonly string[];
}

/**
 * Runs the files in which a test failed once more, each alone and whole. One that passes is unsteady: it is named at
 * the end, and does not hold up the rest. One that fails again has failed.
 * Shape: nothing is tried again where a group broke without saying in which file, or where more than three failed.
 * Effects: each file has a temporary folder of its own; one that leaves something behind has failed.
 */
export async function tryAgain(
  results: readonly GroupResult[],
  groups: readonly TestGroup[],
  passes: (group: TestFiles, file: string) => Promise<boolean>,
): Promise<SecondTrial> {
  const files = results.flatMap((result) => result.failedFiles);
  const unexplained = results.some((result) => result.failed > 0 && result.failedFiles.length === 0);
  if (files.length === 0 || files.length > mostFiles || unexplained) return { results, unsteady: [] };
  const unsteady: string[] = [];
  const mended: GroupResult[] = [];
  for (const result of results) {
    const group = groups.find((one) => one.name === result.name);
    let left = result;
    for (const file of result.failedFiles) {
      if (group?.kind !== "tests" || !(await passes(group, file))) continue;
      unsteady.push(file);
      left = { ...left, failedFiles: left.failedFiles.filter((one) => one !== file) };
    }
    mended.push(left.failedFiles.length === 0 ? passed(left) : left);
  }
  return { results: mended, unsteady };
}

/** Counts a group's failures as passed: each of its failed files passed when it ran alone. */
function passed(result: GroupResult): GroupResult {
  return { ...result, passed: result.passed + result.failed, failed: 0 };
}

/** Runs one file of a group by itself. Effects: what it says is passed through; it has a temporary folder of its own. */
export async function passesAlone(group: TestFiles, file: string, top: string): Promise<boolean> {
  console.log(`\n== once more, alone: ${file}`);
  const scratch = await fs.mkdtemp(path.join(os.tmpdir(), "lt-"));
  try {
    const outside = await listOutside();
    const totals = await runTests({ ...group, parallel: false }, { top, scratch }, [file]);
    const leftovers = await findLeftovers(scratch, outside);
    for (const line of leftovers) console.log(`left behind by ${file}: ${line}`);
    return totals.failed === 0 && totals.passed > 0 && leftovers.length === 0;
  } finally {
    await fs.rm(scratch, { recursive: true, force: true });
  }
}
