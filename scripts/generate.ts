// Writes src/gen from proto/. The gate runs the same into a temporary folder and compares.
import { toolEnv, top } from "./gate/steps.ts";

const child = Bun.spawn(["buf", "generate"], { cwd: top, env: toolEnv(), stdio: ["ignore", "inherit", "inherit"] });
process.exitCode = await child.exited;
