// Lists the methods of the daemon's API that answer Unimplemented, as ARCHITECTURE.md shows them.
// usage: bun scripts/unfinished-rpcs.ts [--all | --write]
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { daemonPlugins, listRpcs, unfinishedText, withUnfinished } from "../src/daemon/index.ts";

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), "lighter-rpcs-"));
try {
  const rpcs = await listRpcs(daemonPlugins, scratch);
  if (process.argv.includes("--all"))
    for (const { service, method, built } of rpcs) console.log(`${built ? "built" : "     "} ${service}/${method}`);
  else if (process.argv.includes("--write")) {
    const file = path.resolve(import.meta.dir, "../ARCHITECTURE.md");
    await fs.writeFile(file, withUnfinished(await fs.readFile(file, "utf8"), unfinishedText(rpcs)));
  } else console.log(unfinishedText(rpcs));
} finally {
  await fs.rm(scratch, { recursive: true, force: true });
}
