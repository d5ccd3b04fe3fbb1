// Measures how fast bytes go into and out of one container: stdout and stdin through FIFOs, and a terminal, in turn.
// usage: bun bench/streams.ts [--mebibytes 2048] [--rounds 5] [--runtime runc]
import { parseArgs } from "node:util";
import type { RuntimeName } from "../test/support/index.ts";
import { type Side, type SideName, startSide } from "./sides.ts";
import { pairedRatio, short, summarize } from "./statistics.ts";
import { measureStdin, measureStdout, measureTerminal } from "./stdio.ts";

export interface StreamsOptions {
  /** Through FIFOs; a terminal, which is slow by itself, gets an eighth. */
  readonly mebibytes: number;
  readonly rounds: number;
  readonly runtime: RuntimeName;
}

interface Way {
  readonly name: string;
  readonly part: number;
  readonly aim: number;
  readonly measure: (side: Side, mebibytes: number) => Promise<number>;
}

const ways: readonly Way[] = [
  { name: "stdout through a FIFO", part: 1, aim: 2, measure: measureStdout },
  { name: "output through a terminal", part: 8, aim: 1, measure: measureTerminal },
  { name: "stdin through a FIFO", part: 1, aim: 2, measure: measureStdin },
];

/** Mebibytes a second of one way, in the order of the rounds. */
export interface StreamsRow {
  readonly way: Way;
  readonly rates: Readonly<Record<SideName, number[]>>;
}

/** Measures each way, the sides in turn within a round. */
export async function benchStreams({ mebibytes, rounds, runtime }: StreamsOptions): Promise<readonly StreamsRow[]> {
  await using stack = new AsyncDisposableStack();
  const sides: Side[] = [];
  for (const name of ["lighter", "containerd"] as const) sides.push(stack.use(await startSide(name, runtime)));
  const rows: StreamsRow[] = ways.map((way) => ({ way, rates: { lighter: [], containerd: [] } }));
  for (let round = 0; round < rounds; round++) {
    for (const { way, rates } of rows) {
      for (const side of sides) {
        const rate = await way.measure(side, Math.max(1, Math.floor(mebibytes / way.part)));
        rates[side.name].push(rate);
        console.error(`${side.name.padEnd(10)} ${way.name}: ${rate.toFixed(0)} MiB/s`);
      }
    }
  }
  return rows;
}

/** The page as Markdown. */
export function streamsTable(rows: readonly StreamsRow[]): string {
  const figure = (rates: readonly number[]): string => {
    const { median, low, high } = summarize(rates);
    return `${short(median)} MiB/s (${short(low)}-${short(high)})`;
  };
  return [
    "| | lighter | containerd | lighter : containerd | aim |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(({ way, rates }) => {
      const ratio = pairedRatio(rates.lighter, rates.containerd);
      const verdict = `≥ ${way.aim}: ${ratio >= way.aim ? "met" : "missed"}`;
      return `| ${way.name} | ${figure(rates.lighter)} | ${figure(rates.containerd)} | ${short(ratio)} | ${verdict} |`;
    }),
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      mebibytes: { type: "string", default: "2048" },
      rounds: { type: "string", default: "5" },
      runtime: { type: "string", default: "runc" },
    },
  });
  const runtime = values.runtime === "crun" ? "crun" : "runc";
  const [mebibytes, rounds] = [Number(values.mebibytes), Number(values.rounds)];
  console.log(streamsTable(await benchStreams({ mebibytes, rounds, runtime })));
}
