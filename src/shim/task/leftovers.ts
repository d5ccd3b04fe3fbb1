import { join } from "node:path";
import { isErrno, unmountAll } from "../../sys/index.ts";
import { cgroupPids, removeEmptyCgroup } from "../cgroup/cgroup-files.ts";
import { freezerState, thaw } from "../cgroup/freezer.ts";
import { type CgroupMounts, cgroupAt, unifiedBeside } from "../cgroup/locate.ts";
import type { HostParts } from "../parts.ts";
import { readStat, waitForEnd } from "../process/process-handle.ts";
import type { CgroupRecord, PidRecord } from "../state/records.ts";
import { readBundleSpec } from "./spec.ts";
import type { Task } from "./task.ts";

const sigkill = 9;
/** How long killed processes may take to end, all together. */
const endTimeoutMs = 10_000;
/** A cgroup stays busy for a moment after its last process is gone: the pauses before the next tries grow from one to the other. */
const busyPauseMs = 0.5;
const busyMs = 500;

/** Kills one process, if it is still the one that is meant, and waits for its end. */
export async function endProcess(
  parts: HostParts,
  process: PidRecord,
  timeoutMs: number = endTimeoutMs,
): Promise<void> {
  if (process.pid === 0 || readStat(process.pid)?.startTime !== process.startTime) return;
  killQuietly(parts, process.pid);
  await waitForEnd(parts.kernel, parts.watcher, process, timeoutMs);
}

/**
 * Ends what is left in a container's cgroup and removes it.
 * Shape: a cgroup that another task has as well is left alone. Effects: processes that can't be ended, and the cgroup with
 * them, stay, with a warning; false then.
 */
export async function clearCgroup(parts: HostParts, cgroup: CgroupRecord, owner?: Task): Promise<boolean> {
  const folders = foldersOf(cgroup);
  const isShared = (task: Task): boolean => foldersOf(task.cgroup).some((folder) => folders.includes(folder));
  if (parts.tasks.all().some((task) => task !== owner && isShared(task))) return false;
  const beside = unifiedBeside(cgroup, parts.cgroupMounts);
  const remove = (): boolean =>
    [cgroup, ...(beside === undefined ? [] : [{ version: 2, path: beside } as const])]
      .map((one) => removeEmptyCgroup(one))
      .every((gone) => gone);
  if (remove()) return true;
  if (freezerState(cgroup) === "frozen") thaw(cgroup);
  const deadline = performance.now() + endTimeoutMs;
  for (let pids = cgroupPids(cgroup); pids.length > 0 && performance.now() < deadline; pids = cgroupPids(cgroup)) {
    for (const pid of pids) {
      const startTime = readStat(pid)?.startTime ?? 0;
      await endProcess(parts, { pid, startTime }, Math.max(1, deadline - performance.now()));
    }
  }
  for (let pauseMs = busyPauseMs; pauseMs < busyMs; pauseMs *= 2) {
    if (remove()) return true;
    await Bun.sleep(pauseMs);
  }
  parts.log.warn("a cgroup can't be removed", { folders: beside === undefined ? folders : [...folders, beside] });
  return false;
}

/** Where a bundle's spec puts its container; undefined where it doesn't say, or can't be read any more. */
export function cgroupOfSpec(bundle: string, mounts: CgroupMounts): CgroupRecord | undefined {
  try {
    const { cgroupsPath } = readBundleSpec(bundle);
    return cgroupsPath.length > 1 ? cgroupAt(cgroupsPath, mounts) : undefined;
  } catch {
    // Gone or broken: then it says nothing.
    return undefined;
  }
}

/** Whether a task is exactly where its spec, by the path in it, puts it. */
export function isCgroupOfSpec({ cgroupMounts }: HostParts, { cgroup }: Task, cgroupsPath: string): boolean {
  const wanted = foldersOf(cgroupsPath.length > 1 ? cgroupAt(cgroupsPath, cgroupMounts) : undefined);
  const found = foldersOf(cgroup);
  return found.length > 0 && found.every((folder) => wanted.includes(folder));
}

/** Unmounts the root of a bundle. */
export function unmountRootfs(parts: HostParts, bundle: string): void {
  unmountAll(parts.kernel, join(bundle, "rootfs"));
}

function foldersOf(cgroup: CgroupRecord | undefined): string[] {
  if (cgroup === undefined) return [];
  return cgroup.version === 2 ? [cgroup.path] : [...new Set(Object.values(cgroup.paths))];
}

function killQuietly(parts: HostParts, pid: number): void {
  try {
    parts.kernel.kill(pid, sigkill);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}
