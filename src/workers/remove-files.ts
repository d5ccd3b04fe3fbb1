import { unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../lib/faults.ts";
import type { RemovalFailures } from "./jobs.ts";
import { serveJob } from "./serve-job.ts";

const standardOutput = 1;

await serveJob<"remove-files">(({ folder }, _kernel, nextLine) => {
  for (let line = nextLine(); line !== undefined; line = nextLine()) {
    const failures = removeAll(folder, JSON.parse(line) as readonly string[]);
    // A pipe that the daemon reads: so short a line goes in one piece.
    writeSync(standardOutput, `${JSON.stringify(failures)}\n`);
  }
  return {};
});

function removeAll(folder: string, paths: readonly string[]): RemovalFailures {
  const failures: [number, string][] = [];
  for (const [at, path] of paths.entries()) {
    try {
      unlinkSync(join(folder, path));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT"))
        failures.push([at, messageOf(error)]);
    }
  }
  return failures;
}
