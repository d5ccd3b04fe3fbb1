// Measures how the cost of a call grows with what a daemon has recorded: the daemons in turn at each size.
// usage: bun bench/growth.ts [--size 10]... [--calls 400]
import { parseArgs } from "node:util";
import type { ContainerApi, Daemon } from "../test/support/index.ts";
import { newId, perSecond, type Side, type SideName, startSide } from "./sides.ts";
import { short, summarize } from "./statistics.ts";

export interface GrowthOptions {
  /** How many containers are recorded, ascending. */
  readonly sizes: readonly number[];
  /** Of each kind, at each size. */
  readonly calls: number;
}

/** The median of a call, in µs. */
interface Cost {
  readonly side: SideName;
  readonly size: number;
  readonly call: string;
  readonly microseconds: number;
}

interface Call {
  readonly name: string;
  readonly run: (api: ContainerApi) => Promise<void>;
}

/** How much more a call may cost at the largest size than at the smallest: what the machine does in between is in it. */
const aim = 1.25;
const fillInFlight = 16;

const runtime = { name: "io.containerd.runc.v2" };
const spec = { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Buffer.from("{}") };

const calls: readonly Call[] = [
  {
    name: "Containers.Get",
    run: async (api) => {
      await api.containers.get({ id: "kept-0" });
    },
  },
  {
    name: "Containers.Create and Delete",
    run: async (api) => {
      const id = newId();
      await api.containers.create({ container: { id, runtime, spec } });
      await api.containers.delete({ id });
    },
  },
  {
    name: "Snapshots.Prepare and Remove",
    run: async (api) => {
      const key = newId();
      await api.snapshots.prepare({ snapshotter: "overlayfs", key, labels: { "containerd.io/gc.root": "now" } });
      await api.snapshots.remove({ snapshotter: "overlayfs", key });
    },
  },
  {
    name: "Tasks.Get",
    run: async (api) => {
      await api.tasks.get({ containerId: "running" });
    },
  },
];

/** Records more and more containers, and times calls in between. */
export async function benchGrowth(options: GrowthOptions): Promise<readonly Cost[]> {
  const costs: Cost[] = [];
  await using stack = new AsyncDisposableStack();
  const sides: Side[] = [];
  for (const name of ["lighter", "containerd"] as const) sides.push(stack.use(await startSide(name, "runc")));
  for (const { api } of sides) {
    await api.create("running", ["sleep", "10000"]);
    await api.start("running");
  }
  let recorded = 0;
  for (const size of options.sizes) {
    for (const { api } of sides) await record(api, recorded, size);
    recorded = size;
    for (const call of calls) {
      // The first turn is not counted: neither is measured cold.
      for (const { api } of sides) await timeCalls(api, call.run, Math.ceil(options.calls / 4));
      for (const { name: side, api } of sides) {
        const microseconds = await timeCalls(api, call.run, options.calls);
        costs.push({ side, size, call: call.name, microseconds });
        console.error(`${side.padEnd(10)} ${call.name} with ${size} recorded: ${microseconds.toFixed(0)} µs`);
      }
    }
  }
  for (const { daemon, api } of sides) await forget(daemon, api, recorded);
  return costs;
}

async function record(api: ContainerApi, from: number, to: number): Promise<void> {
  const labels = { "org.example/kind": "kept", "org.example/tier": "front" };
  await perSecond(to - from, fillInFlight, async (index) => {
    const container = { id: `kept-${from + index}`, image: "example.org/app:1", labels, runtime, spec };
    await api.containers.create({ container });
  });
}

/** What the end of a test removes by ctr, one after the other, goes faster here. */
async function forget(daemon: Daemon, api: ContainerApi, count: number): Promise<void> {
  await perSecond(count, fillInFlight, async (index) => {
    await api.containers.delete({ id: `kept-${index}` });
  });
  await daemon.ctr(["tasks", "rm", "-f", "running"]);
}

async function timeCalls(api: ContainerApi, run: (api: ContainerApi) => Promise<void>, count: number): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    await run(api);
    times.push((performance.now() - started) * 1000);
  }
  return summarize(times).median;
}

/** The page as Markdown. */
export function growthTable({ sizes }: GrowthOptions, costs: readonly Cost[]): string {
  const costOf = (side: SideName, call: string, size: number): number =>
    costs.find((one) => one.side === side && one.call === call && one.size === size)?.microseconds ?? Number.NaN;
  const [smallest = Number.NaN, largest = Number.NaN] = [sizes[0], sizes.at(-1)];
  const rows = calls.flatMap(({ name }) =>
    (["lighter", "containerd"] as const).map((side) => {
      const growth = costOf(side, name, largest) / costOf(side, name, smallest);
      const verdict = side === "lighter" ? `≤ ${aim}: ${growth <= aim ? "met" : "missed"}` : "";
      const cells = [
        name,
        side,
        ...sizes.map((size) => `${short(costOf(side, name, size))} µs`),
        short(growth),
        verdict,
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  );
  return [
    `| call, with so many containers recorded | | ${sizes.join(" | ")} | ${largest} : ${smallest} | aim |`,
    `| ${["---", "---", ...sizes.map(() => "---"), "---", "---"].join(" | ")} |`,
    ...rows,
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      size: { type: "string", multiple: true, default: ["10", "100", "1000", "5000"] },
      calls: { type: "string", default: "400" },
    },
  });
  const options = { sizes: values.size.map(Number), calls: Number(values.calls) };
  console.log(growthTable(options, await benchGrowth(options)));
}
