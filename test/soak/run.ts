// Runs short containers while the daemon is killed and restarted at random, and looks for anything that is left.
// usage: bun test/soak/run.ts [--count N] [--in-flight N] [--runtime runc|crun]
import { parseArgs } from "node:util";
import { soak } from "./soak.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "1000" },
    "in-flight": { type: "string", default: "8" },
    runtime: { type: "string", default: "runc" },
  },
});
const result = await soak({
  runtime: values.runtime === "crun" ? "crun" : "runc",
  count: Number(values.count),
  inFlight: Number(values["in-flight"]),
  killAfterMs: [1_000, 5_000],
  report: (text) => console.error(text),
});
console.log(`${values.count} containers in ${result.seconds.toFixed(0)} s, the daemon killed ${result.kills} times`);
for (const trouble of result.troubles) console.log(`  ${trouble}`);
console.log(
  result.troubles.length === 0 ? "nothing left, every exit code delivered" : `${result.troubles.length} troubles`,
);
process.exitCode = result.troubles.length === 0 ? 0 : 1;
