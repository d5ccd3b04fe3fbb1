import fs from "node:fs/promises";
import { type Daemon, findProcesses } from "../test/support/index.ts";

/** The proportional set size of a process: its own pages, and its share of those it shares. */
export async function pssMegabytes(pid: number): Promise<number> {
  const text = await fs.readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => ""); // it ended
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) / 1024;
}

/** The PSS of a daemon and of all its shims together; what runs inside containers is not theirs. */
export async function daemonMegabytes(daemon: Daemon): Promise<{ total: number; processes: number }> {
  const own: number[] = [daemon.pid];
  for (const line of await findProcesses(daemon.workspace.token)) {
    const pid = Number.parseInt(line, 10);
    if (pid !== daemon.pid && !(await isContained(pid, daemon.namespace))) own.push(pid);
  }
  const sizes = await Promise.all(own.map(pssMegabytes));
  return { total: sizes.reduce((sum, size) => sum + size, 0), processes: own.length };
}

/** A container's processes are in a cgroup below their namespace's. */
async function isContained(pid: number, namespace: string): Promise<boolean> {
  const text = await fs.readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => ""); // it ended
  return text.includes(`/${namespace}/`);
}
