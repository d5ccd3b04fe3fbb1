// Runs short containers while the daemon, the shim host or both are killed at random, and looks for anything that is left.
// usage: bun test/soak/run.ts [--count N] [--in-flight N] [--runtime runc|crun] [--kill daemon|host|both|any]
import { parseArgs } from "node:util";
import { victims } from "./killer.ts";
import { soak } from "./soak.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "1000" },
    "in-flight": { type: "string", default: "8" },
    runtime: { type: "string", default: "runc" },
    kill: { type: "string", default: "daemon" },
  },
});
const victim = victims.find((name) => name === values.kill);
if (victim === undefined) {
  console.error(`--kill ${values.kill}: there are ${victims.join(", ")}`);
  process.exit(2);
}
const result = await soak({
  runtime: values.runtime === "crun" ? "crun" : "runc",
  count: Number(values.count),
  inFlight: Number(values["in-flight"]),
  victim,
  killAfterMs: [1_000, 5_000],
  report: (text) => console.error(text),
});
console.log(`${values.count} containers in ${result.seconds.toFixed(0)} s, ${result.kills}`);
if (result.unknownExecs > 0)
  console.log(
    `${result.unknownExecs} execs were begun as a host died and had ended before the next: exit code unknown`,
  );
for (const trouble of result.troubles) console.log(`  ${trouble}`);
console.log(
  result.troubles.length === 0
    ? "nothing left, every container's exit code delivered"
    : `${result.troubles.length} troubles`,
);
process.exitCode = result.troubles.length === 0 ? 0 : 1;
