import { type Daemon, startContainerd, startLighter } from "../test/support/index.ts";
import { program } from "./sides.ts";
import { pairedRatio, short, summarize } from "./statistics.ts";
import { h2load, type LoadResult } from "./unary/h2load.ts";

export interface UnaryOptions {
  /** How often each side has its turn. */
  readonly rounds: number;
  readonly calls: number;
}

/** One level of concurrency: each side's rounds, in order. */
export interface UnaryRow {
  readonly inFlight: number;
  readonly containerd: readonly LoadResult[];
  readonly lighter: readonly LoadResult[];
}

const method = "/containerd.services.version.v1.Version/Version";
const levels = [1, 16, 64];

/**
 * Compares how fast both daemons answer a unary call (Version) over one connection on a unix socket. Both get the same
 * client, and are called in turn, so that both see the same machine.
 */
export async function benchUnary(options: UnaryOptions = { rounds: 7, calls: 160_000 }): Promise<UnaryRow[]> {
  await using containerd = await startContainerd({ logLevel: "info" });
  await using lighter = await startLighter({ logLevel: "info", program });
  const rows: UnaryRow[] = [];
  for (const inFlight of levels) {
    const results = { containerd: [] as LoadResult[], lighter: [] as LoadResult[] };
    const calls = inFlight === 1 ? options.calls / 4 : options.calls;
    const turn = async (daemon: Daemon): Promise<LoadResult> =>
      h2load({ socket: daemon.address, method, calls, inFlight });
    // Neither is measured cold.
    for (const daemon of [containerd, lighter]) await turn(daemon);
    for (let round = 0; round < options.rounds; round++) {
      results.containerd.push(await turn(containerd));
      results.lighter.push(await turn(lighter));
    }
    rows.push({ inFlight, ...results });
  }
  return rows;
}

/** The page as Markdown: medians, and ratios of what was measured in turn. */
export function unaryTable(rows: readonly UnaryRow[]): string {
  return [
    "| calls in flight | lighter, calls/s | containerd, calls/s | lighter : containerd | lighter, p50 / p99 | containerd, p50 / p99 | lighter : containerd | aim |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => `| ${cellsOf(row).join(" | ")} |`),
  ].join("\n");
}

function cellsOf({ inFlight, lighter, containerd }: UnaryRow): string[] {
  const median = (side: readonly LoadResult[], pick: Pick): number => summarize(side.map(pick)).median;
  const ratio = (pick: Pick): number => pairedRatio(lighter.map(pick), containerd.map(pick));
  const rate = (side: readonly LoadResult[]): string => `${(median(side, callsPerSecond) / 1000).toFixed(1)} k`;
  const latency = (side: readonly LoadResult[]): string => `${median(side, p50)} / ${median(side, p99)} µs`;
  const met = (holds: boolean): string => (holds ? "met" : "missed");
  return [
    String(inFlight),
    rate(lighter),
    rate(containerd),
    short(ratio(callsPerSecond)),
    latency(lighter),
    latency(containerd),
    `${short(ratio(p50))} / ${short(ratio(p99))}`,
    `calls ≥ 2: ${met(ratio(callsPerSecond) >= 2)}, p50 ≤ 0.5: ${met(ratio(p50) <= 0.5)}`,
  ];
}

type Pick = (result: LoadResult) => number;
const callsPerSecond: Pick = (result) => result.callsPerSecond;
const p50: Pick = (result) => result.p50Us;
const p99: Pick = (result) => result.p99Us;

if (import.meta.main) console.log(unaryTable(await benchUnary()));
