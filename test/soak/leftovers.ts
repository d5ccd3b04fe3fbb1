import fs from "node:fs/promises";
import path from "node:path";
import { type Daemon, findProcesses, waitFor } from "../support/index.ts";
import { hostPid } from "./killer.ts";
import type { Line } from "./line.ts";

/** What a daemon and its host hold for their containers, counted. */
export type Holdings = Readonly<Record<string, number>>;

/** Counts what lies in the folders that belong to containers. */
export async function holdings(daemon: Daemon): Promise<Holdings> {
  const { root, state, namespace } = daemon;
  const runtimes = path.join(state, "shim/state/runtime");
  const folders = {
    snapshots: [path.join(root, "io.containerd.snapshotter.v1.overlayfs/snapshots")],
    bundles: [path.join(state, "io.containerd.runtime.v2.task", namespace)],
    scratch: [path.join(root, "io.containerd.runtime.v2.task", namespace)],
    "task states": [path.join(state, "shim/state/tasks", namespace)],
    "runtime states": (await namesIn(runtimes)).map((name) => path.join(runtimes, name, namespace)),
    FIFOs: [path.join(daemon.workspace.folder, "fifos")],
  };
  const counted: [string, number][] = [];
  for (const [what, paths] of Object.entries(folders)) {
    let count = 0;
    for (const each of paths) count += (await namesIn(each)).length;
    counted.push([what, count]);
  }
  return Object.fromEntries(counted);
}

/** Compares with before the first container; processes, mounts and cgroups are judged when the daemon is disposed. */
export async function leftBehind(daemon: Daemon, line: Line, before: Holdings): Promise<readonly string[]> {
  const troubles: string[] = [];
  const { tasks } = await line.persist((api) => api.tasks.list({}));
  const { containers } = await line.persist((api) => api.containers.list({}));
  if (tasks.length > 0) troubles.push(`${tasks.length} tasks are left`);
  if (containers.length > 0) troubles.push(`${containers.length} records are left`);
  const tooMany = async (): Promise<readonly string[]> =>
    Object.entries(await holdings(daemon))
      .filter(([what, count]) => count > (before[what] ?? 0))
      .map(([what, count]) => `${what}: ${count}, before ${before[what]}`);
  await waitFor("folders to go", async () => (await tooMany()).length === 0, 15_000).catch(async () => {
    troubles.push(...(await tooMany()));
  });
  return [...troubles, ...(await keptProcesses(daemon)), ...(await openDescriptors(daemon))];
}

/** A host that lives has one keeper, which goes with it; whatever else is there was a container's or a dead host's. */
async function keptProcesses(daemon: Daemon): Promise<readonly string[]> {
  const others = async (): Promise<readonly string[]> => {
    const host = await hostPid(daemon);
    const own = new Set([daemon.pid, host, host === undefined ? undefined : await keeperPid(daemon)]);
    return (await findProcesses(daemon.workspace.token)).filter((line) => !own.has(Number.parseInt(line, 10)));
  };
  try {
    await waitFor("processes to go", async () => (await others()).length === 0, 15_000);
    return [];
  } catch {
    return (await others()).map((line) => `process ${line.slice(0, 120)}`);
  }
}

async function keeperPid(daemon: Daemon): Promise<number | undefined> {
  const file = Bun.file(path.join(daemon.state, "shim/state/keeper.json"));
  return (await file.exists()) ? ((await file.json()) as { pid: number }).pid : undefined;
}

/** More than an idle daemon or host with this client connected holds, and far less than a leak of one a container. */
const mostDescriptors = 60;

async function openDescriptors(daemon: Daemon): Promise<readonly string[]> {
  const troubles: string[] = [];
  for (const [name, pid] of [
    ["daemon", daemon.pid],
    ["host", await hostPid(daemon)],
  ] as const) {
    const count = pid === undefined ? 0 : await descriptorsOf(pid);
    if (count > mostDescriptors) troubles.push(`${count} descriptors in the ${name}`);
  }
  return troubles;
}

/** How many descriptors a process holds. */
export async function descriptorsOf(pid: number): Promise<number> {
  return (await namesIn(`/proc/${pid}/fd`)).length;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await fs.readdir(folder).catch(() => []); // never made: nothing in it
}
