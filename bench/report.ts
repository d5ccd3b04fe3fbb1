import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { RuntimeName } from "../test/support/index.ts";
import { type BarGroup, drawBars } from "./chart.ts";
import { metrics, type Plan, type Record, type Series } from "./measurements.ts";
import { pairedRatio, short, summarize } from "./statistics.ts";

/** Whether more is better, what is aimed at for lighter's figure divided by containerd's, and divided by the bare loop's. */
interface Aim {
  readonly metric: string;
  readonly more: boolean;
  readonly overContainerd?: Partial<Readonly<{ [name in RuntimeName]: number }>>;
  readonly overBare?: Partial<Readonly<{ [name in RuntimeName]: number }>>;
  /** Whether one of the two is enough: no daemon can beat the bare loop by much. */
  readonly isEither?: boolean;
  /** What lighter's own figure may be at most, in the metric's unit. */
  readonly most?: number;
}

const docs = path.resolve(import.meta.dir, "../docs");

function aimsOf(plan: Plan): readonly Aim[] {
  return [
    ...plan.life.map(({ inFlight }) => ({
      metric: metrics.life(inFlight),
      more: true,
      overContainerd: { crun: 3 },
      overBare: { runc: 0.75, crun: 0.75 },
    })),
    ...plan.exec.map(({ inFlight }) => ({
      metric: metrics.exec(inFlight),
      more: true,
      overContainerd: { runc: 3, crun: 3 },
      overBare: { runc: 0.8, crun: 0.8 },
      isEither: true,
    })),
    { metric: metrics.stdout, more: true, overContainerd: { runc: 1.5, crun: 1.5 } },
    { metric: metrics.startUp, more: false },
    { metric: metrics.worked, more: false },
    { metric: metrics.idle, more: false, most: 60 },
    { metric: metrics.loaded(plan.sleepers), more: false, overContainerd: { runc: 0.25, crun: 0.25 } },
  ];
}

/** The table of a run, in Markdown: medians, the spread in brackets, ratios of what was measured in turn. */
export function tableOf(plan: Plan, record: Record): string {
  const rows = aimsOf(plan).flatMap((aim) => plan.runtimes.map((runtime) => rowOf(aim, runtime, record)));
  return [
    "| | runtime | lighter | containerd | bare loop | lighter : containerd | lighter : bare | aim |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

function rowOf(aim: Aim, runtime: RuntimeName, record: Record): string {
  const [ours, theirs, bare] = (["lighter", "containerd", "bare"] as const).map((side) =>
    record.find(aim.metric, runtime, side),
  );
  const overTheirs = ratioOf(ours, theirs);
  const overBare = ratioOf(ours, bare);
  const cells = [
    aim.metric,
    runtime,
    figureOf(ours),
    figureOf(theirs),
    figureOf(bare),
    overTheirs === undefined ? "" : short(overTheirs),
    overBare === undefined ? "" : short(overBare),
    verdictsOf(aim, runtime, { ours, overTheirs, overBare }),
  ];
  return `| ${cells.join(" | ")} |`;
}

function figureOf(series: Series | undefined): string {
  if (series === undefined) return "";
  const { median, low, high, count } = summarize(series.values);
  const spread = count > 1 ? ` (${short(low)}-${short(high)})` : "";
  return `${short(median)} ${series.unit}${spread}`;
}

function ratioOf(ours: Series | undefined, theirs: Series | undefined): number | undefined {
  return ours === undefined || theirs === undefined ? undefined : pairedRatio(ours.values, theirs.values);
}

interface Found {
  readonly ours: Series | undefined;
  readonly overTheirs: number | undefined;
  readonly overBare: number | undefined;
}

function verdictsOf(aim: Aim, runtime: RuntimeName, { ours, overTheirs, overBare }: Found): string {
  const verdicts = [
    verdict(overTheirs, aim.overContainerd?.[runtime], aim.more, "containerd"),
    verdict(overBare, aim.overBare?.[runtime], aim.more, "bare"),
    absoluteVerdict(ours, aim.most),
  ].filter(Boolean);
  return verdicts.join(aim.isEither === true ? " or " : ", ");
}

function verdict(ratio: number | undefined, aim: number | undefined, more: boolean, of: string): string {
  if (ratio === undefined || aim === undefined) return "";
  const met = more ? ratio >= aim : ratio <= aim;
  return `${more ? "≥" : "≤"} ${aim} of ${of}: ${met ? "met" : "missed"}`;
}

function absoluteVerdict(series: Series | undefined, most: number | undefined): string {
  if (series === undefined || most === undefined) return "";
  return `≤ ${most} ${series.unit}: ${summarize(series.values).median <= most ? "met" : "missed"}`;
}

/** Writes the page and its pictures. */
export async function writeReport(plan: Plan, record: Record, facts: readonly string[]): Promise<void> {
  const pictures = path.join(docs, "benchmarks");
  await fs.mkdir(pictures, { recursive: true });
  const inFlight = plan.life.map(({ inFlight: number }) => metrics.life(number));
  const pages = { life: inFlight, exec: plan.exec.map((one) => metrics.exec(one.inFlight)) };
  const memory = [metrics.worked, metrics.idle, metrics.loaded(plan.sleepers)];
  for (const [name, title, wanted] of [
    ["life", "Containers a second, create to delete", pages.life],
    ["exec", "Execs a second", pages.exec],
    ["memory", "Memory of the daemon and all its shims (PSS)", memory],
    ["stdout", "Output of one container through a FIFO", [metrics.stdout]],
  ] as const) {
    await fs.writeFile(path.join(pictures, `${name}.svg`), drawBars(title, groupsOf(plan, record, wanted)));
  }
  await replaceInPage("results", `${facts.join("\n")}\n\n${tableOf(plan, record)}`);
}

function groupsOf(plan: Plan, record: Record, wanted: readonly string[]): readonly BarGroup[] {
  return wanted.flatMap((metric) =>
    plan.runtimes.map((runtime) => ({
      title: `${metric}, ${runtime}`,
      bars: (["lighter", "containerd", "bare"] as const).flatMap((side) => {
        const series = record.find(metric, runtime, side);
        if (series === undefined) return [];
        const kind = side === "lighter" ? "ours" : side === "bare" ? "floor" : "theirs";
        const label = side === "bare" ? `bare ${runtime}` : side;
        const { median } = summarize(series.values);
        return [{ label, value: median, text: `${short(median)} ${series.unit}`, kind } as const];
      }),
    })),
  );
}

/** Replaces what stands between the page's markers of a name. Errors: when it has no such markers. */
export async function replaceInPage(name: string, text: string): Promise<void> {
  const file = path.join(docs, "benchmarks.md");
  const old = await fs.readFile(file, "utf8");
  const pattern = new RegExp(`(<!-- ${name}:start -->\n)[\\s\\S]*?(<!-- ${name}:end -->)`);
  if (!pattern.test(old)) throw new Error(`${file} has no markers for ${name}`);
  await fs.writeFile(
    file,
    old.replace(pattern, (_whole, start: string, end: string) => `${start}${text}\n${end}`),
  );
}

/** What a figure depends on: the machine and the versions. */
export async function machineFacts(versions: readonly string[]): Promise<readonly string[]> {
  const memory = Math.round(os.totalmem() / 2 ** 30);
  return [
    `Measured on ${new Date().toISOString().slice(0, 10)}: Linux ${os.release()}, ${os.cpus().length} processors, ${memory} GiB.`,
    `${versions.join("; ")}.`,
  ];
}
