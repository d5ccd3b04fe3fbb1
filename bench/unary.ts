import { type Daemon, startContainerd, startLighter } from "../test/support/index.ts";
import { summarize } from "./statistics.ts";
import { h2load, type LoadResult } from "./unary/h2load.ts";

export interface UnaryOptions {
  /** How often each side has its turn. */
  readonly rounds: number;
  readonly calls: number;
}

/** One level of concurrency: the medians of both sides. */
export interface UnaryRow {
  readonly inFlight: number;
  readonly containerd: LoadResult;
  readonly lighter: LoadResult;
}

const method = "/containerd.services.version.v1.Version/Version";
const levels = [1, 16, 64];

/**
 * Compares how fast both daemons answer a unary call (Version) over one connection on a unix socket. Both get the same
 * client, and are called in turn, so that both see the same machine.
 */
export async function benchUnary(options: UnaryOptions = { rounds: 5, calls: 40_000 }): Promise<UnaryRow[]> {
  await using containerd = await startContainerd({ logLevel: "info" });
  await using lighter = await startLighter({ logLevel: "info" });
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
    rows.push({ inFlight, containerd: medians(results.containerd), lighter: medians(results.lighter) });
  }
  return rows;
}

/** The page as Markdown. */
export function unaryTable(rows: readonly UnaryRow[]): string {
  const kilo = (perSecond: number): string => (perSecond / 1000).toFixed(1);
  const lines = rows.map(({ inFlight, containerd: c, lighter: l }) =>
    [
      inFlight,
      `${kilo(c.callsPerSecond)} k`,
      `${kilo(l.callsPerSecond)} k`,
      `${(l.callsPerSecond / c.callsPerSecond).toFixed(2)} x`,
      `${c.p50Us} / ${c.p99Us}`,
      `${l.p50Us} / ${l.p99Us}`,
      `${(l.p50Us / c.p50Us).toFixed(2)} / ${(l.p99Us / c.p99Us).toFixed(2)}`,
    ].join(" | "),
  );
  return [
    "| calls in flight | containerd, calls/s | lighter, calls/s | ratio | containerd, us p50 / p99 | lighter, us p50 / p99 | ratio |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...lines.map((line) => `| ${line} |`),
  ].join("\n");
}

function medians(results: readonly LoadResult[]): LoadResult {
  const median = (pick: (result: LoadResult) => number): number => summarize(results.map(pick)).median;
  return {
    callsPerSecond: median((result) => result.callsPerSecond),
    p50Us: median((result) => result.p50Us),
    p99Us: median((result) => result.p99Us),
  };
}

if (import.meta.main) console.log(unaryTable(await benchUnary()));
