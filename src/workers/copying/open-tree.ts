import { constants, openSync } from "node:fs";
import type { Kernel } from "../../sys/index.ts";
import { mountPrivately } from "../enter-tree.ts";
import type { TreeSource } from "../jobs.ts";
import { givenFd } from "../serve-job.ts";
import { HeldTree } from "./held-tree.ts";

/** The tree that a copy is of: the one whose top was handed over, or one that is mounted here for this process alone. */
export function openTree(kernel: Kernel, source: TreeSource | undefined): HeldTree {
  if (source === undefined) return new HeldTree(kernel, givenFd);
  mountPrivately(kernel, source);
  return new HeldTree(kernel, openSync(source.mountPoint, constants.O_RDONLY | constants.O_DIRECTORY));
}
