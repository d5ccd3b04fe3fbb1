// Brings a checkout to where its demo or its tests can run: npm's packages, the pinned Bun, Debian's packages, CRIU.
// Plain JavaScript for Node 18 and later, since it runs before anything is installed. Quick and silent when all is there.
import process from "node:process";
import { ensureBun } from "./setup/bun.mjs";
import { ensureCriu } from "./setup/criu.mjs";
import { ensureDebianPackages } from "./setup/debian.mjs";
import { ensureDocker } from "./setup/docker.mjs";
import { ensureNpmPackages } from "./setup/npm.mjs";

const goal = process.argv[2] ?? "test";
if (!["demo", "test", "bench"].includes(goal)) {
  console.error(`usage: node scripts/setup.mjs [demo|test|bench]`);
  process.exit(2);
}

try {
  ensureNpmPackages();
  ensureBun();
  const missing = ensureDebianPackages(goal);
  if (goal !== "demo") ensureCriu();
  if (goal === "test") ensureDocker();
  // Tests that lack something skip by name; a demo without a runtime has nothing to show.
  if (missing.length > 0 && goal !== "test") process.exit(1);
} catch (error) {
  console.error(`setup: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
