// Measures how fast content comes in and goes out over the API, with the same Go client against both daemons, in turn.
// usage: bun bench/content.ts [--mebibytes 256] [--rounds 7]
import path from "node:path";
import { parseArgs } from "node:util";
import { type Daemon, runOk, startContainerd, startLighter } from "../test/support/index.ts";
import { programOption } from "./sides.ts";
import { pairedRatio, summarize } from "./statistics.ts";

export interface ContentOptions {
  readonly mebibytes: number;
  readonly rounds: number;
}

/** Mebibytes a second, in the order of the rounds. */
interface Rates {
  readonly write: number[];
  readonly read: number[];
}

export type ContentRecord = { readonly [side in Daemon["kind"]]: Rates };

// ctr ingests without a lease: nothing may be collected between a write and the read after it.
const config = '[plugins."io.containerd.gc.v1.scheduler"]\nstartup_delay = "1h"\ndeletion_threshold = 1000000\n';
/** How fast lighter is to be beside containerd. */
const aim = 0.8;

/** Writes and reads one blob after the other, the sides in turn within a round. */
export async function benchContent({ mebibytes, rounds }: ContentOptions): Promise<ContentRecord> {
  await using lighter = await startLighter({ logLevel: "info", config, ...programOption() });
  await using containerd = await startContainerd({ logLevel: "info", config });
  const file = path.join(lighter.workspace.folder, "blob");
  const record = { lighter: { write: [], read: [] } as Rates, containerd: { write: [], read: [] } as Rates };
  // The first round is not counted: neither is measured cold.
  for (let round = -1; round < rounds; round++) {
    // New bytes each time: what a daemon had once it need not take again. Written last, they are in the page cache for both.
    await runOk(["sh", "-c", `head -c ${mebibytes}M /dev/urandom > ${file}`]);
    const digest = `sha256:${(await runOk(["sha256sum", file])).split(" ")[0]}`;
    const order = round % 2 === 0 ? ([lighter, containerd] as const) : ([containerd, lighter] as const);
    for (const daemon of order) {
      const { write, read } = await measure(daemon, file, digest, mebibytes);
      if (round < 0) continue;
      record[daemon.kind].write.push(write);
      record[daemon.kind].read.push(read);
    }
  }
  return record;
}

async function measure(
  daemon: Daemon,
  file: string,
  digest: string,
  mebibytes: number,
): Promise<{ write: number; read: number }> {
  const ctr = (words: string): string => `ctr -a ${daemon.address} -n ${daemon.namespace} content ${words}`;
  const rateOf = async (command: string): Promise<number> => {
    const start = performance.now();
    await runOk(["sh", "-c", command]);
    return (mebibytes * 1000) / (performance.now() - start);
  };
  const write = await rateOf(ctr(`ingest --expected-digest ${digest} bench < ${file}`));
  const read = await rateOf(ctr(`get ${digest} > /dev/null`));
  await runOk(["sh", "-c", ctr(`rm ${digest}`)]);
  return { write, read };
}

/** The page as Markdown. */
export function contentTable(record: ContentRecord): string {
  const rows = (["write", "read"] as const).map((way) => {
    const [ours, theirs] = [record.lighter[way], record.containerd[way]];
    const [low, high] = [ours, theirs].map((side) => summarize(side).median);
    const ratio = pairedRatio(ours, theirs);
    const cells = [way, `${low?.toFixed(0)} MiB/s`, `${high?.toFixed(0)} MiB/s`, ratio.toFixed(2)];
    return `| ${cells.join(" | ")} | ≥ ${aim}: ${ratio >= aim ? "met" : "missed"} |`;
  });
  return [
    "| content | lighter | containerd | lighter : containerd | aim |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { mebibytes: { type: "string", default: "256" }, rounds: { type: "string", default: "7" } },
  });
  const record = await benchContent({ mebibytes: Number(values.mebibytes), rounds: Number(values.rounds) });
  console.log(contentTable(record));
}
