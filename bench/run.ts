// Measures lighter beside Debian's containerd, in turn, and writes docs/benchmarks.md.
import { parseArgs } from "node:util";
import { runOk } from "../test/support/index.ts";
import { benchCommand, commandTable } from "./command.ts";
import { benchContent, contentTable } from "./content.ts";
import { benchCrowd, type CrowdOptions, crowdTable } from "./crowd.ts";
import { benchEvents, eventsTable } from "./events.ts";
import { benchLatency, latencyTable } from "./gc-latency.ts";
import { benchGrowth, growthTable } from "./growth.ts";
import { benchImages, imagesTable } from "./images.ts";
import { benchLives, livesTable } from "./lives.ts";
import { measureAll, type Plan } from "./measurements.ts";
import { machineFacts, replaceInPage, tableOf, writeReport } from "./report.ts";
import type { SideName } from "./sides.ts";
import { benchStreams, streamsTable } from "./streams.ts";
import { benchTrace, traceTable } from "./trace.ts";
import { benchUnary, unaryTable } from "./unary.ts";

const usage = `usage: npm run bench -- [--quick] [--page NAME]... [--side lighter|containerd] [--containerd FOLDER]

Measures lighter beside containerd, in turn, and writes docs/benchmarks.md. It fails on no figure.

  --quick              The main ratios in under two minutes; prints them and writes nothing
  --page NAME          Only this page: containers, unary, images, streams, command, events, growth, crowd, lives,
                       trace
  --side SIDE          Only one side of the page containers; writes nothing
  --containerd FOLDER  The containerd and ctr of this folder, in place of Debian's; prints and writes nothing`;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    page: { type: "string", multiple: true },
    side: { type: "string" },
    containerd: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit();
}
if (values.containerd !== undefined) process.env["PATH"] = `${values.containerd}:${process.env["PATH"] ?? ""}`;
const writes = !values.quick && values.side === undefined && values.containerd === undefined;
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
    { inFlight: 1, count: 120 },
    { inFlight: 4, count: 240 },
    { inFlight: 16, count: 240 },
  ],
  stdoutMebibytes: 2048,
  sleepers: 100,
};

const quick: Plan = {
  ...full,
  rounds: 2,
  life: [{ inFlight: 4, count: 40 }],
  exec: [{ inFlight: 4, count: 20 }],
  stdoutMebibytes: 256,
  sleepers: 5,
};

const pages: { readonly [page: string]: () => Promise<void> } = {
  containers: async () => {
    const plan = values.quick ? quick : full;
    const record = await measureAll(plan);
    const facts = await factsOfToday();
    console.log(`\n${facts.join("\n")}\n\n${tableOf(plan, record)}`);
    if (writes) await writeReport(plan, record, facts);
  },
  unary: async () =>
    show("unary", unaryTable(await benchUnary(values.quick ? { rounds: 2, calls: 40_000 } : undefined))),
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
  streams: async () => {
    const size = values.quick ? { mebibytes: 256, rounds: 1 } : { mebibytes: 2048, rounds: 5 };
    await show("streams", streamsTable(await benchStreams({ ...size, runtime: "runc" })));
  },
  command: async () => {
    const runs = values.quick ? 8 : 40;
    await show("command", commandTable(await benchCommand({ runs, runtimes: ["runc", "crun"] })));
  },
  events: async () => {
    const size = values.quick ? { seconds: 2, rounds: 1 } : { seconds: 4, rounds: 5 };
    await show("events", eventsTable(await benchEvents({ subscribers: 50, rate: 5000, ...size })));
  },
  growth: async () => {
    const options = values.quick ? { sizes: [10, 1000], calls: 100 } : { sizes: [10, 100, 1000, 5000], calls: 1000 };
    await show("growth", growthTable(options, await benchGrowth(options)));
  },
  crowd: async () => {
    const sizes = values.quick ? [1, 3, 10] : [1, 3, 10, 100, 500, 1000];
    const options: CrowdOptions = { sizes, runtimes: values.quick ? ["crun"] : ["runc", "crun"] };
    await show("crowd", crowdTable(options, await benchCrowd(options)));
  },
  lives: async () =>
    show("lives", livesTable(await benchLives({ count: values.quick ? 400 : 10_000, runtime: "crun" }))),
  trace: async () =>
    show("trace", traceTable(await benchTrace({ lives: values.quick ? 20 : 100, runtimes: ["runc", "crun"] }))),
};
const quickPages = ["containers", "unary", "command", "events"];

async function factsOfToday(): Promise<readonly string[]> {
  const commands = ["containerd --version", "runc --version", "crun --version"];
  const versions = await Promise.all(
    commands.map(async (command) => (await runOk(command.split(" "))).split("\n")[0]?.trim()),
  );
  return machineFacts([`Bun ${Bun.version}`, ...versions.filter((line) => line !== undefined)]);
}

async function show(name: string, table: string): Promise<void> {
  console.log(`\n${table}`);
  if (writes) await replaceInPage(name, table);
}

for (const name of values.page ?? (values.quick ? quickPages : Object.keys(pages))) {
  const page = pages[name];
  if (page === undefined) throw new Error(`no page ${name}; there are ${Object.keys(pages).join(", ")}`);
  // Only containers are measured on one side alone.
  if (name === "containers" || values.side === undefined) await page();
}
