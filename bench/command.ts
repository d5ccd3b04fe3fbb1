// Measures what a person waits for: `lighter run --rm IMAGE true` beside `ctr run --rm`, the commands in turn.
// usage: bun bench/command.ts [--runs 30] [--runtime runc] [--runtime crun]
import path from "node:path";
import { parseArgs } from "node:util";
import {
  busyboxImage,
  type Daemon,
  importBusybox,
  type RuntimeName,
  runOk,
  startContainerd,
  startLighter,
} from "../test/support/index.ts";
import { newId, program } from "./sides.ts";
import { pairedRatio, short, summarize } from "./statistics.ts";

/** Milliseconds of each run, in order: the same index is the same turn. */
export interface CommandRow {
  readonly runtime: RuntimeName;
  readonly lighter: number[];
  readonly ctr: number[];
}

/** lighter's time over ctr's. */
const aim = 0.5;

/** Runs containers by both commands, each on its own daemon, in turn. */
export async function benchCommand(options: {
  readonly runs: number;
  readonly runtimes: readonly RuntimeName[];
}): Promise<CommandRow[]> {
  const rows: CommandRow[] = [];
  for (const runtime of options.runtimes) {
    await using lighterd = await startLighter({ runtime, logLevel: "info", program });
    await using containerd = await startContainerd({ runtime, logLevel: "info" });
    for (const daemon of [lighterd, containerd]) await importBusybox(daemon);
    const row: CommandRow = { runtime, lighter: [], ctr: [] };
    // The first runs are not counted: neither is measured cold.
    for (let index = -2; index < options.runs; index++) {
      const ours = await timed(() => runByLighter(lighterd));
      const theirs = await timed(() => runByCtr(containerd));
      if (index < 0) continue;
      row.lighter.push(ours);
      row.ctr.push(theirs);
    }
    rows.push(row);
  }
  return rows;
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await action();
  return performance.now() - started;
}

function runByLighter(daemon: Daemon): Promise<string> {
  const command = path.join(path.dirname(program), "lighter");
  const env = {
    CONTAINERD_ADDRESS: daemon.address,
    CONTAINERD_NAMESPACE: daemon.namespace,
    LIGHTER_DATA: path.join(daemon.workspace.folder, "data"),
    LIGHTER_RUN: path.join(daemon.workspace.folder, "io"),
  };
  return runOk([command, "run", "--rm", "--runtime", daemon.runtime, busyboxImage, "true"], { env });
}

function runByCtr(daemon: Daemon): Promise<string> {
  return daemon.ctrOk(["run", "--rm", ...daemon.runtimeFlags, busyboxImage, newId(), "true"]);
}

/** The page as Markdown. */
export function commandTable(rows: readonly CommandRow[]): string {
  return [
    "| runtime | `lighter run --rm` | `ctr run --rm` | lighter : ctr | aim |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map((row) => {
      const ratio = pairedRatio(row.lighter, row.ctr);
      const verdict = `≤ ${aim}: ${ratio <= aim ? "met" : "missed"}`;
      return `| ${row.runtime} | ${times(row.lighter)} | ${times(row.ctr)} | ${short(ratio)} | ${verdict} |`;
    }),
  ].join("\n");
}

function times(values: readonly number[]): string {
  const { median, low, high } = summarize(values);
  return `${short(median)} ms (${short(low)}-${short(high)})`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "30" },
      runtime: { type: "string", multiple: true, default: ["runc", "crun"] },
    },
  });
  const runtimes = values.runtime.map((name): RuntimeName => (name === "crun" ? "crun" : "runc"));
  console.log(commandTable(await benchCommand({ runs: Number(values.runs), runtimes })));
}
