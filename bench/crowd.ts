// Measures what sleeping containers cost: memory of a daemon and its shims at growing numbers, and how soon a daemon that
// is started again answers while they run.
// usage: bun bench/crowd.ts [--size 1]... [--runtime runc]... [--side lighter]...
import { parseArgs } from "node:util";
import type { ContainerApi, RuntimeName } from "../test/support/index.ts";
import { daemonMegabytes } from "./memory.ts";
import { newId, perSecond, type Side, type SideName, startSide } from "./sides.ts";
import { measureStartUp } from "./start-up.ts";
import { short } from "./statistics.ts";

export interface CrowdOptions {
  /** How many containers sleep, ascending. */
  readonly sizes: readonly number[];
  readonly runtimes: readonly RuntimeName[];
  readonly sides?: readonly SideName[];
}

/** One daemon's figures, in the order of the sizes. */
export interface Crowd {
  readonly runtime: RuntimeName;
  readonly side: SideName;
  /** MB of PSS. */
  readonly megabytes: readonly number[];
  /** Milliseconds to the first answer with the largest number running. */
  readonly startUp: number;
}

const settleMs = 3_000;
const restMs = 20_000;
const inFlight = 4;

/** Puts containers to sleep, weighs, and starts the daemon again; one daemon at a time, for memory. */
export async function benchCrowd({ sizes, runtimes, sides }: CrowdOptions): Promise<readonly Crowd[]> {
  const crowds: Crowd[] = [];
  for (const runtime of runtimes) {
    for (const name of sides ?? (["lighter", "containerd"] as const)) {
      await using side = await startSide(name, runtime);
      crowds.push(await gather(side, sizes));
    }
  }
  return crowds;
}

async function gather(side: Side, sizes: readonly number[]): Promise<Crowd> {
  const ids: string[] = [];
  const megabytes: number[] = [];
  await Bun.sleep(restMs);
  for (const size of sizes) {
    await perSecond(size - ids.length, inFlight, async () => {
      const id = newId();
      ids.push(id);
      await side.api.create(id, ["sleep", "100000"]);
      await side.api.start(id);
    });
    await Bun.sleep(settleMs);
    const { total } = await daemonMegabytes(side.daemon);
    megabytes.push(total);
    console.error(`${side.runtime} ${side.name}, ${size} asleep: ${total.toFixed(1)} MB`);
  }
  const startUp = await measureStartUp(side);
  console.error(`${side.runtime} ${side.name}, start-up with ${ids.length} running: ${startUp.toFixed(0)} ms`);
  await using api = await side.api.reconnect();
  await wake(api, ids);
  return { runtime: side.runtime, side: side.name, megabytes, startUp };
}

async function wake(api: ContainerApi, ids: readonly string[]): Promise<void> {
  await perSecond(ids.length, inFlight, async (index) => {
    const id = ids[index] ?? "";
    await api.tasks.kill({ containerId: id, signal: 9 });
    await api.wait(id);
    await api.remove(id);
  });
}

/** The page as Markdown. */
export function crowdTable({ sizes, runtimes }: CrowdOptions, crowds: readonly Crowd[]): string {
  const largest = sizes.at(-1) ?? 0;
  const head = ["runtime", "", ...sizes.map(String), "MB a container", `start-up with ${largest} running`, "aim"];
  const rows = runtimes.flatMap((runtime) => {
    const of = (side: SideName): Crowd | undefined =>
      crowds.find((one) => one.runtime === runtime && one.side === side);
    const [ours, theirs] = [of("lighter"), of("containerd")];
    return [ours, theirs].flatMap((crowd) =>
      crowd === undefined ? [] : [rowOf(crowd, sizes, crowd === ours ? verdicts(ours, theirs, sizes) : "")],
    );
  });
  return [`| ${head.join(" | ")} |`, `| ${head.map(() => "---").join(" | ")} |`, ...rows].join("\n");
}

function rowOf(crowd: Crowd, sizes: readonly number[], verdict: string): string {
  const cells = [
    crowd.runtime,
    crowd.side,
    ...crowd.megabytes.map((value) => `${short(value)} MB`),
    short(perContainer(crowd, sizes)),
    `${short(crowd.startUp)} ms`,
    verdict,
  ];
  return `| ${cells.join(" | ")} |`;
}

/** From the first of at least ten containers on: the first ones bring what all of them share. */
function perContainer({ megabytes }: Crowd, sizes: readonly number[]): number {
  const from = Math.max(
    0,
    sizes.findIndex((size) => size >= 10),
  );
  const grown = (megabytes.at(-1) ?? Number.NaN) - (megabytes[from] ?? Number.NaN);
  return grown / ((sizes.at(-1) ?? Number.NaN) - (sizes[from] ?? Number.NaN));
}

function verdicts(ours: Crowd | undefined, theirs: Crowd | undefined, sizes: readonly number[]): string {
  if (ours === undefined) return "";
  const say = (words: string, holds: boolean): string => `${words}: ${holds ? "met" : "missed"}`;
  const ratios = sizes.map((_, at) => (ours.megabytes[at] ?? Number.NaN) / (theirs?.megabytes[at] ?? Number.NaN));
  const aims = [say("≤ 0.1 MB a container", perContainer(ours, sizes) <= 0.1), say("≤ 1 s", ours.startUp <= 1000)];
  for (const [at, size] of sizes.entries()) {
    const ratio = ratios[at] ?? Number.NaN;
    if (Number.isNaN(ratio)) continue;
    if (size === 3) aims.push(say(`less than containerd with 3 (${short(ratio)})`, ratio < 1));
    if (size === 100) aims.push(say(`≤ 0.2 of containerd with 100 (${short(ratio)})`, ratio <= 0.2));
  }
  return aims.join(", ");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      size: { type: "string", multiple: true, default: ["1", "3", "10", "100", "500", "1000"] },
      runtime: { type: "string", multiple: true, default: ["runc", "crun"] },
      side: { type: "string", multiple: true, default: ["lighter", "containerd"] },
    },
  });
  const options: CrowdOptions = {
    sizes: values.size.map(Number),
    runtimes: values.runtime.map((name): RuntimeName => (name === "crun" ? "crun" : "runc")),
    sides: values.side.map((name): SideName => (name === "lighter" ? "lighter" : "containerd")),
  };
  console.log(crowdTable(options, await benchCrowd(options)));
}
