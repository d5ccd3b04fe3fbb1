// Applies archives that were made to do harm, and looks for anything outside of their trees that they touched.
// usage: bun test/soak/archives/run.ts [--seed N] [--count N] [--in-flight N]
import { parseArgs } from "node:util";
import { fuzzLayers } from "./fuzz.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "10000" },
    "in-flight": { type: "string", default: "4" },
  },
});
const started = performance.now();
const { taken, refused, troubles } = await fuzzLayers({
  seed: Number(values.seed),
  count: Number(values.count),
  inFlight: Number(values["in-flight"]),
  report: (text) => console.error(text),
});
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(`${taken + refused} archives in ${seconds} s: ${taken} taken, ${refused} refused`);
for (const trouble of troubles) console.log(`  ${trouble}`);
console.log(
  troubles.length === 0
    ? "nothing outside was touched, every refusal names layer and entry"
    : `${troubles.length} troubles`,
);
process.exitCode = troubles.length === 0 ? 0 : 1;
