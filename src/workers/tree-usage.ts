import * as fs from "node:fs";
import type { ByteString } from "../lib/tar/index.ts";
import type { TreeUsage } from "./jobs.ts";
import { pathBytes } from "./paths.ts";
import { childName, namesIn } from "./tree-scan.ts";

const blockBytes = 512;

/** Counts a tree: every inode once, by the blocks that it takes. Source: containerd/continuity fs/du_unix.go. */
export function treeUsage(root: ByteString): TreeUsage {
  const seen = new Set<number>();
  const folders: ByteString[] = [root];
  let [inodes, blocks] = [1, fs.lstatSync(pathBytes(root)).blocks];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const name of namesIn(folder)) {
      const path = folder.endsWith("/") ? `${folder}${name}` : childName(folder, name);
      const stats = fs.lstatSync(pathBytes(path));
      if (stats.isDirectory()) folders.push(path);
      else if (stats.nlink > 1) {
        if (seen.has(stats.ino)) continue;
        seen.add(stats.ino);
      }
      inodes++;
      blocks += stats.blocks;
    }
  }
  return { inodes, sizeBytes: blocks * blockBytes };
}
