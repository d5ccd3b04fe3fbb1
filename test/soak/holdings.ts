import { Database } from "bun:sqlite";
import fs from "node:fs/promises";
import path from "node:path";
import { type Daemon, findProcesses } from "../support/index.ts";

/** What one process holds. */
export interface ProcessHoldings {
  /** How many descriptors of each kind: `socket`, `pidfd`, a file's path. */
  readonly descriptors: Readonly<Record<string, number>>;
  readonly threads: number;
}

/** What a daemon and its host hold, on the machine and on disk. */
export interface Holdings {
  readonly daemon: ProcessHoldings;
  readonly host: ProcessHoldings;
  /** Daemon, host, keeper, and whatever else carries the daemon's token. */
  readonly processes: number;
  readonly mounts: number;
  /** Every file below the state folder but logs, FIFOs among them. */
  readonly state: readonly string[];
  /** Folders of the daemon's root that hold something for each container. */
  readonly root: readonly string[];
  /** Rows of each table of the metadata. */
  readonly rows: Readonly<Record<string, number>>;
}

/** Looks at all that a daemon and its host hold now. */
export async function holdingsOf(daemon: Daemon, hostPid: number): Promise<Holdings> {
  const mounts = await fs.readFile(`/proc/${hostPid}/mountinfo`, "utf8");
  const root = ["io.containerd.snapshotter.v1.overlayfs/snapshots", "io.containerd.runtime.v2.task"];
  return {
    daemon: await processHoldings(daemon.pid, daemon.workspace.folder),
    host: await processHoldings(hostPid, daemon.workspace.folder),
    processes: (await findProcesses(daemon.workspace.token)).length,
    mounts: mounts.split("\n").filter((line) => line.includes(daemon.workspace.token)).length,
    state: (await filesBelow(daemon.state, "")).filter((name) => !/\.log$|\.stderr$/.test(name)),
    root: (await Promise.all(root.map((name) => namesIn(path.join(daemon.root, name))))).flat(),
    rows: await rowsOf(daemon),
  };
}

/** Memory that is a process's own, in bytes: what it has written, without pages of files. */
export async function ownMemory(pid: number): Promise<number> {
  const rollup = await fs.readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss_Anon: +(\d+) kB$/m.exec(rollup)?.[1] ?? Number.NaN) * 1024;
}

async function processHoldings(pid: number, folder: string): Promise<ProcessHoldings> {
  const descriptors: Record<string, number> = {};
  for (const fd of await namesIn(`/proc/${pid}/fd`)) {
    // Closed between the two looks.
    const target = await fs.readlink(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
    if (target === undefined) continue;
    const kind = target.replace(folder, "").replace(/:\[\d+\]$/, "");
    descriptors[kind] = (descriptors[kind] ?? 0) + 1;
  }
  const status = await fs.readFile(`/proc/${pid}/status`, "utf8");
  return { descriptors, threads: Number(/^Threads:\s+(\d+)$/m.exec(status)?.[1]) };
}

/** Rows of a copy: the daemon keeps its database to itself. */
async function rowsOf(daemon: Daemon): Promise<Record<string, number>> {
  const copy = path.join(daemon.workspace.folder, "copy.sqlite");
  const source = path.join(daemon.root, "io.containerd.metadata.v1.bolt/meta.sqlite");
  for (const part of ["", "-wal"]) await fs.copyFile(`${source}${part}`, `${copy}${part}`);
  try {
    using database = new Database(copy);
    const tables = database.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const count = (name: string): number =>
      database.query<{ rows: number }, []>(`SELECT count(*) AS rows FROM "${name}"`).get()?.rows ?? 0;
    return Object.fromEntries(tables.map(({ name }) => [name, count(name)]));
  } finally {
    for (const part of ["", "-wal", "-shm"]) await fs.rm(`${copy}${part}`, { force: true });
  }
}

/** Names below a folder, whatever they are; nothing that is mounted there is entered. */
async function filesBelow(folder: string, prefix: string): Promise<string[]> {
  const entries = await fs.readdir(path.join(folder, prefix), { withFileTypes: true }).catch(() => []);
  const found = entries.map(async (entry) => {
    const name = path.join(prefix, entry.name);
    return entry.isDirectory() && entry.name !== "rootfs" ? [name, ...(await filesBelow(folder, name))] : [name];
  });
  return (await Promise.all(found)).flat().sort();
}

/** Empty where there is no such folder. */
const namesIn = (folder: string): Promise<string[]> => fs.readdir(folder).catch(() => []);
