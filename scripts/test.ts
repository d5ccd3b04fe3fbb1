// Runs everything that must pass: the gate, the unit tests, the end-to-end tests and a small soak.
// usage: bun scripts/test.ts [group ...]; groups: check unit e2e rooms soak. Ends with `N passed, N failed`.
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { emptyTotals, type GroupResult, runGroup, type TestGroup } from "./gate/groups.ts";
import { findLeftovers, listOutside } from "./gate/leftovers.ts";
import { passesAlone, tryAgain } from "./gate/second-trial.ts";
import { top } from "./gate/steps.ts";

const groups: readonly TestGroup[] = [
  { name: "check", kind: "steps", script: "scripts/check.ts" },
  { name: "unit", kind: "tests", paths: ["src", "bin", "scripts"], parallel: true, timeoutMs: 30_000 },
  { name: "e2e", kind: "tests", paths: ["test/daemon", "test/e2e"], parallel: false, timeoutMs: 90_000 },
  {
    name: "rooms",
    kind: "tests",
    paths: ["test/contract", "test/core", "test/wire", "test/shim", "test/tasks", "test/cli"],
    parallel: false,
    timeoutMs: 60_000,
  },
  { name: "soak", kind: "tests", paths: ["test/soak"], parallel: false, timeoutMs: 300_000 },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !groups.some((group) => group.name === name));
if (unknown.length > 0) {
  console.error(`no such group: ${unknown.join(", ")}; there are: ${groups.map((group) => group.name).join(", ")}`);
  process.exit(2);
}

// Everything temporary lies in one short folder: unix sockets have short names, and what is left is easily found.
const scratch = await fs.mkdtemp(path.join(os.tmpdir(), "lt-"));
const outside = await listOutside();
const first: GroupResult[] = [];
for (const group of groups) {
  if (wanted.length > 0 && !wanted.includes(group.name)) continue;
  console.log(`\n== ${group.name}`);
  first.push(await runGroup(group, { top, scratch }));
}
const leftovers = await findLeftovers(scratch, outside);
const { results, unsteady } = await tryAgain(first, groups, (group, file) => passesAlone(group, file, top));
await fs.rm(scratch, { recursive: true, force: true });

const total = results.reduce(
  (sum, result) => ({
    passed: sum.passed + result.passed,
    failed: sum.failed + result.failed,
    skips: [...sum.skips, ...result.skips],
    failedFiles: [...sum.failedFiles, ...result.failedFiles],
  }),
  emptyTotals,
);
// What a test that broke off left behind is its failure's; a run in which each test passed leaves nothing.
const failed = total.failed + (leftovers.length > 0 && unsteady.length === 0 ? 1 : 0);
console.log("");
for (const result of results) {
  console.log(`${result.name}: ${result.passed} passed, ${result.failed} failed in ${result.seconds.toFixed(0)} s`);
}
if (leftovers.length > 0) console.log(`left behind by the tests:\n  ${leftovers.join("\n  ")}`);
for (const file of unsteady) console.log(`UNSTEADY: ${file} failed among the others and passed alone: find out why`);
if (total.skips.length > 0) console.log(`skipped:\n  ${total.skips.join("\n  ")}`);
const skipped = total.skips.length > 0 ? `, ${total.skips.length} skipped` : "";
console.log(`${total.passed} passed, ${failed} failed${skipped}`);
process.exitCode = failed === 0 && total.passed > 0 ? 0 : 1;
