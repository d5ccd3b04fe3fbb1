import fs from "node:fs/promises";
import path from "node:path";
import { snapshotResources } from "../../test/support/index.ts";

/** Names under which tests make what lies outside their scratch folder. */
const ownName = /^(?:lighter|lt)-/;

/** Folders of tests in /tmp, their cgroups, and what the command keeps for root: none of it may be new at the end. */
export async function listOutside(): Promise<ReadonlySet<string>> {
  const cgroups = (await fs.readdir("/sys/fs/cgroup").catch(() => [])).map((name) => `/sys/fs/cgroup/${name}`);
  const found = await Promise.all(
    ["/tmp", "/sys/fs/cgroup", ...cgroups].map(async (folder) => {
      const names = await fs.readdir(folder).catch(() => []); // a file
      return names.filter((name) => ownName.test(name)).map((name) => `${folder}/${name}`);
    }),
  );
  const logs = (await fs.readdir("/var/lib/lighter/logs").catch(() => [])).map(
    (name) => `/var/lib/lighter/logs/${name}`,
  );
  return new Set([...found.flat(), ...logs]);
}

/**
 * What tests left of themselves: everything that carries the name of their scratch folder, what lies in it, and what is
 * outside of it and was not there before.
 */
export async function findLeftovers(scratch: string, before: ReadonlySet<string>): Promise<readonly string[]> {
  const resources = await snapshotResources(path.basename(scratch));
  const files = await fs.readdir(scratch);
  return [
    ...resources.processes.map((line) => `process ${line}`),
    ...resources.mounts.map((line) => `mount ${line}`),
    ...resources.cgroups.map((line) => `cgroup ${line}`),
    ...files.map((name) => `file ${path.join(scratch, name)}`),
    ...[...(await listOutside())].filter((one) => !before.has(one) && one !== scratch).map((one) => `outside: ${one}`),
  ];
}
