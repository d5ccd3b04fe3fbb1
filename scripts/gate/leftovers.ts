import fs from "node:fs/promises";
import path from "node:path";
import { snapshotResources } from "../../test/support/index.ts";

/** What tests left of themselves: everything that carries the name of their scratch folder, and what lies in it. */
export async function findLeftovers(scratch: string): Promise<readonly string[]> {
  const resources = await snapshotResources(path.basename(scratch));
  const files = await fs.readdir(scratch);
  return [
    ...resources.processes.map((line) => `process ${line}`),
    ...resources.mounts.map((line) => `mount ${line}`),
    ...resources.cgroups.map((line) => `cgroup ${line}`),
    ...files.map((name) => `file ${path.join(scratch, name)}`),
  ];
}
