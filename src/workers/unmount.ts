import { readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../lib/faults.ts";
import { isErrno, type Kernel, unmountFlags } from "../sys/index.ts";
import { serveJob } from "./serve-job.ts";

/** How often, and how long apart, a busy mount is tried. Source: containerd core/mount/mount_linux.go, unmount. */
const [tries, pauseMs] = [50, 50];
const char = (octal: string): string => String.fromCharCode(Number.parseInt(octal, 8));

await serveJob<"unmount">(async ({ folders }, kernel) => {
  const failures: { folder: string; message: string }[] = [];
  for (const folder of folders) {
    try {
      for (const point of mountPointsBelow(folder)) await unmount(kernel, point);
      removeFolder(folder);
    } catch (error) {
      failures.push({ folder, message: messageOf(error) });
    }
  }
  return { failures };
});

/** What is mounted below a folder, the last one first. Source: proc_pid_mountinfo(5). */
function mountPointsBelow(folder: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_all, octal: string) => char(octal)))
    .filter((point) => point.startsWith(`${folder}/`))
    .toReversed();
}

async function unmount(kernel: Kernel, point: string): Promise<void> {
  for (let left = tries; ; left--) {
    try {
      kernel.unmount(point, unmountFlags.noFollow);
      return;
    } catch (error) {
      if (isErrno(error, "EINVAL", "ENOENT")) return;
      if (!isErrno(error, "EBUSY") || left === 1) throw error;
      await Bun.sleep(pauseMs);
    }
  }
}

/** Takes away the empty folders that were mounted on. What is not empty stays, for it may be somebody's. */
function removeFolder(folder: string): void {
  for (const name of entries(folder)) {
    try {
      rmdirSync(join(folder, name));
    } catch (error) {
      // Files are the manager's own notes, of another version.
      if (!isErrno(error, "ENOTDIR")) throw error;
      rmSync(join(folder, name));
    }
  }
  try {
    rmdirSync(folder);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

function entries(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
