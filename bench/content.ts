// Measures how fast content comes in and goes out over the API, with the same Go client against both daemons, in turn.
// usage: bun bench/content.ts [--mebibytes 256] [--rounds 7]
import path from "node:path";
import { parseArgs } from "node:util";
import { type Daemon, runOk, startContainerd, startLighter } from "../test/support/index.ts";
import { pairedRatio, summarize } from "./statistics.ts";

const { values } = parseArgs({
  options: { mebibytes: { type: "string", default: "256" }, rounds: { type: "string", default: "7" } },
});
const mebibytes = Number(values.mebibytes);
const rounds = Number(values.rounds);

interface Rates {
  readonly write: number[];
  readonly read: number[];
}

async function measure(daemon: Daemon, file: string, digest: string, rates: Rates): Promise<void> {
  const ctr = (words: string): string => `ctr -a ${daemon.address} -n ${daemon.namespace} content ${words}`;
  const timed = async (into: number[], command: string): Promise<void> => {
    const start = performance.now();
    await runOk(["sh", "-c", command]);
    into.push((mebibytes * 1000) / (performance.now() - start));
  };
  await timed(rates.write, ctr(`ingest --expected-digest ${digest} bench < ${file}`));
  await timed(rates.read, ctr(`get ${digest} > /dev/null`));
  await runOk(["sh", "-c", ctr(`rm ${digest}`)]);
}

// ctr ingests without a lease: nothing may be collected between a write and the read after it.
const config = '[plugins."io.containerd.gc.v1.scheduler"]\nstartup_delay = "1h"\ndeletion_threshold = 1000000\n';
await using lighter = await startLighter({ logLevel: "info", config });
await using containerd = await startContainerd({ logLevel: "info", config });
const file = path.join(lighter.workspace.folder, "blob");
const sides = { lighter: { write: [], read: [] } as Rates, containerd: { write: [], read: [] } as Rates };
for (let round = 0; round < rounds; round++) {
  // New bytes each time: what a daemon had once it need not take again. Written last, they are in the page cache for both.
  await runOk(["sh", "-c", `head -c ${mebibytes}M /dev/urandom > ${file}`]);
  const digest = `sha256:${(await runOk(["sha256sum", file])).split(" ")[0]}`;
  const order = round % 2 === 0 ? ([lighter, containerd] as const) : ([containerd, lighter] as const);
  for (const daemon of order) await measure(daemon, file, digest, sides[daemon.kind]);
}
for (const way of ["write", "read"] as const) {
  const [ours, theirs] = [summarize(sides.lighter[way]).median, summarize(sides.containerd[way]).median];
  const ratio = pairedRatio(sides.lighter[way], sides.containerd[way]);
  console.log(
    `${way}: lighter ${ours.toFixed(0)} MiB/s, containerd ${theirs.toFixed(0)} MiB/s, ratio in pairs ${ratio.toFixed(2)}`,
  );
}
