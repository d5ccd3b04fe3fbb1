// Measures whether a daemon stays as it is: thousands of containers' lives in one daemon, and what daemon and host hold.
// usage: bun bench/lives.ts [--count 10000] [--runtime crun]
import fs from "node:fs/promises";
import { parseArgs } from "node:util";
import { findProcesses, type RuntimeName } from "../test/support/index.ts";
import { measureLife } from "./life.ts";
import { pssMegabytes } from "./memory.ts";
import { type Side, startSide } from "./sides.ts";
import { short, summarize } from "./statistics.ts";

export interface LivesOptions {
  readonly count: number;
  readonly runtime: RuntimeName;
}

/** What daemon and shim host hold together after so many lives. */
interface Sample {
  readonly lives: number;
  /** PSS. */
  readonly megabytes: number;
  readonly descriptors: number;
  /** Containers a second since the sample before. */
  readonly rate: number;
}

const inFlight = 8;
const samples = 20;
/** Long enough for both processes to notice that they rest. */
const restMs = 11_000;

/** Runs containers through one daemon, and looks at it twenty times. */
export async function benchLives({ count, runtime }: LivesOptions): Promise<readonly Sample[]> {
  await using side = await startSide("lighter", runtime);
  const found: Sample[] = [];
  const step = Math.ceil(count / samples);
  for (let lives = step; lives <= count; lives += step) {
    const rate = await measureLife(side, step, inFlight);
    await Bun.sleep(restMs);
    const sample = { lives, rate, ...(await holdingsOf(side)) };
    found.push(sample);
    console.error(
      `${lives} lives: ${sample.megabytes.toFixed(1)} MB, ${sample.descriptors} descriptors, ${rate.toFixed(1)} /s`,
    );
  }
  return found;
}

async function holdingsOf({ daemon }: Side): Promise<Pick<Sample, "megabytes" | "descriptors">> {
  const lines = await findProcesses(daemon.workspace.token);
  const pids = lines.map((line) => Number.parseInt(line, 10));
  const sizes = await Promise.all(pids.map(pssMegabytes));
  const counts = await Promise.all(pids.map(async (pid) => (await fs.readdir(`/proc/${pid}/fd`)).length));
  return { megabytes: sum(sizes), descriptors: sum(counts) };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** The slope of the straight line through points, by least squares. */
export function slopeOf(points: readonly { readonly x: number; readonly y: number }[]): number {
  const [meanX, meanY] = [sum(points.map(({ x }) => x)), sum(points.map(({ y }) => y))].map(
    (total) => total / points.length,
  ) as [number, number];
  const above = sum(points.map(({ x, y }) => (x - meanX) * (y - meanY)));
  return above / sum(points.map(({ x }) => (x - meanX) ** 2));
}

/** The page as Markdown. The first tenth warms the daemon up, and is not part of the line. */
export function livesTable(found: readonly Sample[]): string {
  const all = found.at(-1)?.lives ?? 0;
  const warm = found.filter(({ lives }) => lives > all / 10);
  const [first, last] = [warm[0], warm.at(-1)];
  if (first === undefined || last === undefined) throw new Error("too few lives to draw a line through");
  const perThousand = (pick: (sample: Sample) => number): number =>
    slopeOf(warm.map((sample) => ({ x: sample.lives / 1000, y: pick(sample) })));
  const growth = perThousand(({ megabytes }) => megabytes);
  const leaks = perThousand(({ descriptors }) => descriptors);
  const rates = summarize(warm.map(({ rate }) => rate));
  const met = (holds: boolean): string => (holds ? "met" : "missed");
  return [
    `| ${all} lives, ${inFlight} in flight | after ${first.lives} | after ${last.lives} | each thousand adds, by a straight line | aim |`,
    "| --- | --- | --- | --- | --- |",
    `| memory (PSS) of daemon and host | ${short(first.megabytes)} MB | ${short(last.megabytes)} MB | ${growth.toFixed(2)} MB | ≤ 0.1: ${met(growth <= 0.1)} |`,
    `| open descriptors | ${first.descriptors} | ${last.descriptors} | ${leaks.toFixed(2)} | ≤ 0.1: ${met(leaks <= 0.1)} |`,
    `| lives a second | ${short(first.rate)} | ${short(last.rate)} | median ${short(rates.median)} (${short(rates.low)}-${short(rates.high)}) | |`,
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { count: { type: "string", default: "10000" }, runtime: { type: "string", default: "crun" } },
  });
  const runtime = values.runtime === "runc" ? "runc" : "crun";
  console.log(livesTable(await benchLives({ count: Number(values.count), runtime })));
}
