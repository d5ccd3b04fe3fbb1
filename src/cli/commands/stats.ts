import { availableParallelism, totalmem } from "node:os";
import type { Client } from "../../client/client.ts";
import { findContainer } from "../../client/containers/find.ts";
import type { Command, CommandContext } from "../command.ts";
import { jsonLine, printJson } from "../json.ts";
import { liveScreen } from "../live-screen.ts";
import type { Output } from "../output.ts";
import { bar } from "../progress.ts";
import { styleOf } from "../style.ts";
import { type Column, tableLines } from "../table.ts";
import { formatBytes, parsePositive } from "../units.ts";
import { sampleOf, type UsageSample } from "../usage-figures.ts";

interface UsageRow extends UsageSample {
  /** Of one CPU: 200 is two CPUs' time. */
  readonly cpuPercent: number;
}

export const command: Command = {
  summary: "Live table of what containers use",
  usage: "[OPTIONS] [CONTAINER...]",
  description:
    "CPU is in percent of one CPU; memory without file pages that can be given back. On a terminal the table stays in place; ctrl-c ends it.",
  options: [
    { long: "no-stream", help: "Print one table and end" },
    { long: "interval", value: "SECONDS", help: "How often (1)" },
  ],
  examples: [
    ["lighter stats", "all that run, live"],
    ["lighter stats --no-stream web db", "two of them, once"],
  ],
  words: [0, Number.MAX_SAFE_INTEGER],
  completes: "container",
  json: true,
  run: stats,
};

async function stats(context: CommandContext): Promise<number> {
  const { client, args, json, output } = context;
  const ids = await Promise.all(args.positional.map(async (word) => (await findContainer(client, word)).id));
  const intervalMs = Math.max(shortestMs, parsePositive(args.text("interval") ?? "1", "--interval") * 1000);
  let before = await sample(client, ids);
  if (args.flag("no-stream")) {
    await Bun.sleep(Math.min(500, intervalMs));
    const rows = rowsOf(before, await sample(client, ids));
    if (json) printJson(output, rows.map(jsonOf));
    else output.write(`${frame(context, rows).join("\n")}\n`);
    return 0;
  }
  using screen = liveScreen(output);
  let waitMs = Math.min(intervalMs, firstMs);
  for (;;) {
    await screen.pause(waitMs);
    if (screen.ended) return 0;
    waitMs = intervalMs;
    const now = await sample(client, ids);
    const rows = rowsOf(before, now);
    if (json) for (const row of rows) output.line(jsonLine(jsonOf(row)));
    else screen.show(() => frame(context, rows));
    before = now;
  }
}

const shortestMs = 100;
/** The first table comes sooner than the others: two samples close to one another are better than an empty screen. */
const firstMs = 300;

/** The sample's own clock says nothing to others. */
function jsonOf(row: UsageRow): object {
  return { ...row, at: new Date() };
}

async function sample(client: Client, ids: readonly string[]): Promise<Map<string, UsageSample>> {
  const filters = ids.map((id) => `id==${id}`);
  const { metrics } = await client.tasks.metrics({ filters });
  const at = performance.now();
  const samples = metrics.map((metric) => sampleOf(metric, at)).filter((each) => each !== undefined);
  return new Map(samples.map((each) => [each.id, each]));
}

function rowsOf(before: ReadonlyMap<string, UsageSample>, now: ReadonlyMap<string, UsageSample>): UsageRow[] {
  return [...now.values()]
    .map((each) => {
      const last = before.get(each.id);
      const elapsedNs = last === undefined ? 0 : (each.at - last.at) * 1e6;
      const cpuPercent =
        elapsedNs > 0 && last !== undefined ? Math.max(0, ((each.cpuNs - last.cpuNs) / elapsedNs) * 100) : 0;
      return { ...each, cpuPercent };
    })
    .sort((a, b) => b.cpuPercent - a.cpuPercent || (a.id < b.id ? -1 : 1));
}

/** What came in and what went out, as docker shows it. */
function bothWays(inward: number, outward: number): string {
  return `${formatBytes(inward)} / ${formatBytes(outward)}`;
}

/** Bars give way to the figures where the terminal is narrow. */
function barWidthFor(output: Output): number {
  if (!output.terminal || output.columns >= 92) return 10;
  return output.columns >= 76 ? 5 : 0;
}

function frame({ output }: CommandContext, rows: readonly UsageRow[]): string[] {
  const paint = styleOf(true);
  const cpus = availableParallelism();
  const width = barWidthFor(output);
  const load = (share: number): ((text: string) => string) =>
    share > 0.9 ? paint.red : share > 0.6 ? paint.yellow : paint.green;
  const picture = (share: number): string => (width === 0 ? "" : `${bar(share, 1, width)} `);
  const cpuShare = (row: UsageRow): number => row.cpuPercent / (cpus * 100);
  const memoryShare = (row: UsageRow): number => row.memoryBytes / (row.memoryLimit ?? totalmem());
  const of = (limit: string | undefined): string => (limit === undefined ? "" : ` / ${limit}`);
  const columns: Column<UsageRow>[] = [
    { title: "CONTAINER ID", value: ({ id }) => id, shrink: true },
    {
      title: "CPU",
      value: (row) => `${picture(cpuShare(row))}${row.cpuPercent.toFixed(1).padStart(6)}%`,
      paint: (text, row) => load(cpuShare(row))(text),
    },
    {
      title: "MEMORY",
      value: (row) => {
        const limit = row.memoryLimit === undefined ? undefined : formatBytes(row.memoryLimit);
        return `${picture(memoryShare(row))}${formatBytes(row.memoryBytes).padStart(8)}${of(limit)}`;
      },
      paint: (text, row) => load(memoryShare(row))(text),
    },
    { title: "PIDS", value: ({ pids, pidsLimit }) => `${pids}${of(pidsLimit?.toString())}`, align: "right", spare: 1 },
    { title: "NET I/O", value: (row) => bothWays(row.receivedBytes, row.sentBytes), align: "right", spare: 2 },
    { title: "BLOCK I/O", value: (row) => bothWays(row.readBytes, row.writtenBytes), align: "right", spare: 2 },
  ];
  const lines = tableLines(columns, rows, { width: output.terminal ? output.columns : 0, color: output.color });
  return rows.length === 0 && output.terminal ? [...lines, "nothing runs"] : lines;
}
