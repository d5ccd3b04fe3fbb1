import { closeSync, openSync } from "node:fs";
import type { Kernel } from "../sys/index.ts";
import { enterTree } from "./enter-tree.ts";
import type { Nothing, SettleTreeJob } from "./jobs.ts";
import { serveJob } from "./serve-job.ts";
import { FolderTree } from "./unpacking/folder-tree.ts";

await serveJob<"settle-tree">(settleTree);

/** Finishes a tree that was unpacked before the layers below it were known, and brings it to disk. */
function settleTree({ target, impliedFolders, syncFs }: SettleTreeJob, kernel: Kernel): Nothing {
  const tree = enterTree(kernel, target);
  const folders = new FolderTree(kernel, tree, () => {});
  // The inner ones first: giving a folder its time must be the last that happens in it.
  for (const folder of impliedFolders.toReversed()) folders.likeBelow(folder);
  if (syncFs) {
    const fd = openSync("/", "r");
    kernel.syncfs(fd);
    closeSync(fd);
  }
  return {};
}
