// Writes src/gen from proto/. The gate runs the same into a temporary folder and compares.
import { generate } from "./gate/generate.ts";
import { top } from "./gate/steps.ts";

const problem = await generate(top);
if (problem !== undefined) console.error(problem);
process.exitCode = problem === undefined ? 0 : 1;
