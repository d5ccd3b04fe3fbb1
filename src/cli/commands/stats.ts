import { availableParallelism, totalmem } from "node:os";
import type { Client } from "../../client/client.ts";
import { findContainer } from "../../client/containers/find.ts";
import type { Command, CommandContext } from "../command.ts";
import { jsonLine, printJson } from "../json.ts";
import { bar } from "../progress.ts";
import { styleOf } from "../style.ts";
import { type Column, tableLines } from "../table.ts";
import { formatBytes } from "../units.ts";
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
  const intervalMs = Math.max(100, Number(args.text("interval") ?? 1) * 1000 || 1000);
  let before = await sample(client, ids);
  if (args.flag("no-stream")) {
    await Bun.sleep(Math.min(500, intervalMs));
    const rows = rowsOf(before, await sample(client, ids));
    if (json) printJson(output, rows);
    else output.write(`${frame(context, rows).join("\n")}\n`);
    return 0;
  }
  using screen = liveScreen(context);
  for (;;) {
    await Bun.sleep(before.size === 0 ? intervalMs : Math.min(intervalMs, screen.first ? 300 : intervalMs));
    const now = await sample(client, ids);
    const rows = rowsOf(before, now);
    if (json) for (const row of rows) output.line(jsonLine(row));
    else screen.show(frame(context, rows));
    before = now;
  }
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

const barWidth = 10;

function frame({ output }: CommandContext, rows: readonly UsageRow[]): string[] {
  const paint = styleOf(true);
  const cpus = availableParallelism();
  const load = (share: number): ((text: string) => string) =>
    share > 0.9 ? paint.red : share > 0.6 ? paint.yellow : paint.green;
  const memoryShare = (row: UsageRow): number => row.memoryBytes / (row.memoryLimit ?? totalmem());
  const columns: Column<UsageRow>[] = [
    { title: "CONTAINER ID", value: ({ id }) => id },
    {
      title: "CPU",
      value: (row) => `${bar(row.cpuPercent, cpus * 100, barWidth)} ${row.cpuPercent.toFixed(1).padStart(6)}%`,
      paint: (text, row) => load(row.cpuPercent / (cpus * 100))(text),
    },
    {
      title: "MEMORY",
      value: (row) =>
        `${bar(memoryShare(row), 1, barWidth)} ${formatBytes(row.memoryBytes)}${row.memoryLimit === undefined ? "" : ` / ${formatBytes(row.memoryLimit)}`}`,
      paint: (text, row) => load(memoryShare(row))(text),
    },
    {
      title: "PIDS",
      value: ({ pids, pidsLimit }) => `${pids}${pidsLimit === undefined ? "" : ` / ${pidsLimit}`}`,
      align: "right",
    },
    { title: "READ", value: ({ readBytes }) => formatBytes(readBytes), align: "right" },
    { title: "WRITTEN", value: ({ writtenBytes }) => formatBytes(writtenBytes), align: "right" },
  ];
  return tableLines(columns, rows, { width: 0, color: output.color });
}

interface LiveScreen extends Disposable {
  readonly first: boolean;
  show(lines: readonly string[]): void;
}

/** Draws each frame over the last one on a terminal; elsewhere one after the other. */
function liveScreen({ output }: CommandContext): LiveScreen {
  let drawn = 0;
  let first = true;
  const hidden = output.terminal;
  const showCursor = (): void => {
    if (hidden) output.write("\x1b[?25h");
  };
  const onSignal = (): void => {
    showCursor();
    process.exit(0);
  };
  if (hidden) output.write("\x1b[?25l");
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    get first() {
      return first;
    },
    show: (lines) => {
      first = false;
      if (!hidden) {
        output.write(`${lines.join("\n")}\n\n`);
        return;
      }
      const up = drawn > 0 ? `\x1b[${drawn}A` : "";
      output.write(`${up}\x1b[J${lines.join("\n")}\n`);
      drawn = lines.length;
    },
    [Symbol.dispose]: () => {
      showCursor();
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
