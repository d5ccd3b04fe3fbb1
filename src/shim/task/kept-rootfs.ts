import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno, type Kernel, type MountRequest, mountAll } from "../../sys/index.ts";
import type { Task } from "./task.ts";

/**
 * Remembers the mounts of a task that has no process yet: a mount namespace of the host's own ends with the host when no
 * container lives in it, and the root with it.
 */
export function keepRootfs(task: Task, mounts: readonly MountRequest[]): void {
  const kept = mounts.map(({ type, source, target, options }) => ({ type, source, target, options }));
  writeFileSync(keptPath(task), JSON.stringify(kept), { mode: 0o600 });
}

/** Mounts the root of such a task again, if it is gone. */
export function mountKeptRootfs(kernel: Kernel, task: Task): void {
  const rootfs = join(task.bundle, "rootfs");
  if (readFileSync("/proc/self/mountinfo", "utf8").includes(` ${rootfs} `)) return;
  let text: string;
  try {
    text = readFileSync(keptPath(task), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  mkdirSync(rootfs, { recursive: true, mode: 0o711 });
  mountAll(kernel, JSON.parse(text) as MountRequest[], rootfs);
}

/** Once the task has a process, that keeps its mounts. */
export function forgetRootfs(task: Task): void {
  rmSync(keptPath(task), { force: true });
}

const keptPath = (task: Task): string => join(task.bundle, "rootfs.json");
