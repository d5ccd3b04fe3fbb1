// The one gate: format, lint, types, dead code, generated code, then the tests of the house itself.
import { checkGenerated } from "./gate/generated.ts";
import { runSteps, type Step } from "./gate/steps.ts";

const steps: readonly Step[] = [
  { name: "format", command: ["biome", "check", "--diagnostic-level=error", "."] },
  { name: "lint", command: ["oxlint", "--type-aware", "--quiet", "src", "bin", "test", "bench", "scripts"] },
  { name: "types", command: ["tsc", "-p", "."] },
  { name: "dead code", command: ["knip", "--no-progress"] },
  { name: "lock file", command: ["node", "scripts/lockfile.mjs", "--check"] },
  { name: "generated code", action: checkGenerated },
  { name: "house", command: ["bun", "test", "--only-failures", "test/house"] },
];

process.exitCode = (await runSteps(steps)) ? 0 : 1;
