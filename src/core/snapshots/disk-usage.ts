import * as fs from "node:fs";
import { readdir } from "node:fs/promises";
import type { SnapshotUsage } from "./snapshotter.ts";

/** How many files are looked at at once: enough to keep the pool busy, few enough to leave it to others. */
const parallel = 4;

/**
 * Counts a tree: every inode once, by the blocks that it takes.
 * Effects: off the loop; a file that goes away meanwhile counts nothing.
 * Source: containerd/continuity fs/du_unix.go.
 */
export async function diskUsage(root: string, signal: AbortSignal): Promise<SnapshotUsage> {
  const seen = new Set<number>();
  const folders: string[] = [];
  let inodes = 0;
  let sizeBytes = 0;
  const count = async (path: string): Promise<void> => {
    const stats = await statOf(path);
    if (stats === undefined) return;
    if (stats.isDirectory()) folders.push(path);
    else if (stats.nlink > 1) {
      if (seen.has(stats.ino)) return;
      seen.add(stats.ino);
    }
    inodes++;
    sizeBytes += stats.blocks * 512;
  };
  await count(root);
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    const base = folder;
    const names = await readdir(base).catch(emptyWhenGone);
    const next = names.values();
    const worker = async (): Promise<void> => {
      for (const name of next) await count(`${base}/${name}`);
    };
    await Promise.all(Array.from({ length: Math.min(parallel, names.length) }, worker));
  }
  return { inodes, sizeBytes };
}

function statOf(path: string): Promise<fs.Stats | undefined> {
  return new Promise((resolve, reject) => {
    fs.lstat(path, (error, stats) => {
      if (error === null) resolve(stats);
      else if (error.code === "ENOENT") resolve(undefined);
      else reject(error);
    });
  });
}

function emptyWhenGone(error: NodeJS.ErrnoException): string[] {
  if (error.code === "ENOENT") return [];
  throw error;
}
