// Measures lighter beside Debian's containerd, in turn, and writes docs/benchmarks.md.
// usage: bun bench/run.ts [--quick] [--page containers|unary|images]... [--side lighter|containerd]
// --quick measures little, prints tables and writes nothing.
import { parseArgs } from "node:util";
import { runOk } from "../test/support/index.ts";
import { benchContent, contentTable } from "./content.ts";
import { benchLatency, latencyTable } from "./gc-latency.ts";
import { benchImages, imagesTable } from "./images.ts";
import { measureAll, type Plan } from "./measurements.ts";
import { machineFacts, replaceInPage, tableOf, writeReport } from "./report.ts";
import type { SideName } from "./sides.ts";
import { benchUnary, unaryTable } from "./unary.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    page: { type: "string", multiple: true, default: ["containers", "unary", "images"] },
    side: { type: "string" },
  },
});
const sides: readonly SideName[] = ["lighter", "containerd"];

const full: Plan = {
  runtimes: ["runc", "crun"],
  sides: sides.filter((side) => values.side === undefined || values.side === side),
  rounds: 5,
  // Some seconds each: in half a second one hiccup of the machine decides.
  life: [
    { inFlight: 1, count: 40 },
    { inFlight: 4, count: 160 },
    { inFlight: 16, count: 160 },
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

const pages: { readonly [page: string]: () => Promise<void> } = {
  containers: async () => {
    const plan = values.quick ? quick : full;
    const record = await measureAll(plan);
    const facts = await factsOfToday();
    console.log(`\n${facts.join("\n")}\n\n${tableOf(plan, record)}`);
    if (!values.quick && values.side === undefined) await writeReport(plan, record, facts);
  },
  unary: async () =>
    show("unary", unaryTable(await benchUnary(values.quick ? { rounds: 1, calls: 8_000 } : undefined))),
  images: async () => {
    const images = values.quick ? { layers: 4, megabytes: 100, rounds: 1 } : { layers: 10, megabytes: 500, rounds: 3 };
    const content = values.quick ? { mebibytes: 64, rounds: 2 } : { mebibytes: 256, rounds: 7 };
    const store = values.quick
      ? { blobs: 5_000, snapshots: 1_000, rounds: 2 }
      : { blobs: 100_000, snapshots: 20_000, rounds: 4 };
    const tables = [
      imagesTable(await benchImages(images)),
      contentTable(await benchContent(content)),
      latencyTable(await benchLatency(store)),
    ];
    await show("images", tables.join("\n\n"));
  },
};

async function factsOfToday(): Promise<readonly string[]> {
  const commands = ["containerd --version", "runc --version", "crun --version"];
  const versions = await Promise.all(
    commands.map(async (command) => (await runOk(command.split(" "))).split("\n")[0]?.trim()),
  );
  return machineFacts([`Bun ${Bun.version}`, ...versions.filter((line) => line !== undefined)]);
}

async function show(name: string, table: string): Promise<void> {
  console.log(`\n${table}`);
  if (!values.quick) await replaceInPage(name, table);
}

for (const name of values.page) {
  const page = pages[name];
  if (page === undefined) throw new Error(`no page ${name}`);
  // Only containers are measured on one side alone.
  if (name === "containers" || values.side === undefined) await page();
}
