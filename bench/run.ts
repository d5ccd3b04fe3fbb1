// Measures lighter beside Debian's containerd, in turn, and writes docs/benchmarks.md.
// usage: bun bench/run.ts [--quick] [--side lighter|containerd]; --quick prints a table and writes nothing.
import { parseArgs } from "node:util";
import { runOk } from "../test/support/index.ts";
import { measureAll, type Plan } from "./measurements.ts";
import { machineFacts, replaceInPage, tableOf, writeReport } from "./report.ts";
import type { SideName } from "./sides.ts";
import { benchUnary, unaryTable } from "./unary.ts";

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, side: { type: "string" } } });
const sides: readonly SideName[] = ["lighter", "containerd"];

const full: Plan = {
  runtimes: ["runc", "crun"],
  sides: sides.filter((side) => values.side === undefined || values.side === side),
  rounds: 3,
  life: [
    { inFlight: 1, count: 20 },
    { inFlight: 4, count: 60 },
    { inFlight: 16, count: 80 },
  ],
  exec: [
    { inFlight: 1, count: 20 },
    { inFlight: 4, count: 40 },
  ],
  stdoutMebibytes: 2048,
  sleepers: 100,
};

const quick: Plan = {
  ...full,
  rounds: 1,
  life: [{ inFlight: 4, count: 12 }],
  exec: [{ inFlight: 4, count: 8 }],
  stdoutMebibytes: 256,
  sleepers: 5,
};

const plan = values.quick ? quick : full;
const record = await measureAll(plan);
const versions = await Promise.all(
  ["containerd --version", "runc --version", "crun --version"].map(async (command) =>
    (await runOk(command.split(" "))).split("\n")[0]?.trim(),
  ),
);
const facts = await machineFacts([`Bun ${Bun.version}`, ...versions.filter((line) => line !== undefined)]);
console.log(`\n${facts.join("\n")}\n\n${tableOf(plan, record)}`);
if (!values.quick && values.side === undefined) await writeReport(plan, record, facts);
if (values.side === undefined) {
  const unary = unaryTable(await benchUnary(values.quick ? { rounds: 1, calls: 8_000 } : undefined));
  console.log(`\n${unary}`);
  if (!values.quick) await replaceInPage("unary", unary);
}
