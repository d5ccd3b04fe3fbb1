import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createSlots } from "../../lib/slots.ts";
import { copyTree } from "../../workers/index.ts";
import { diskUsage } from "./disk-usage.ts";
import type { SnapshotDriver } from "./driver.ts";

/** How many trees are copied at once; the disk is the limit, not the processors. */
const maxCopiers = 2;
/** A copy that was begun is finished: its caller removes it when it is not wanted. */
const forever: AbortSignal = new AbortController().signal;

const noLabels: ReadonlyMap<string, string> = new Map();

/**
 * Gives each snapshot a full copy of its parent: slow, large, and works on every filesystem.
 * Source: containerd plugins/snapshots/native/native.go.
 */
export function createNativeDriver(root: string): SnapshotDriver {
  const folder = join(root, "snapshots");
  const copiers = createSlots(maxCopiers);
  const path = (id: number): string => `${folder}/${id}`;
  return {
    name: "native",
    folder,
    mountsContext: "failed to get snapshot mount",
    create: async ({ id, kind, parents }) => {
      const parent = parents[0];
      // A view of a parent is the parent's own folder, read-only.
      if (kind === "view" && parent !== undefined) return;
      await mkdir(path(id), { mode: 0o755 });
      await chmod(path(id), 0o755);
      if (parent === undefined) return;
      using _slot = await copiers.take(forever);
      await copyTree(path(parent), path(id));
    },
    mounts: ({ id, kind, parents }) => {
      const source = kind === "view" ? path(parents[0] ?? id) : path(id);
      return [{ type: "bind", source, target: "", options: ["rbind", kind === "view" ? "ro" : "rw"] }];
    },
    foldersOf: ({ id, kind, hasParent }) => (kind === "view" && hasParent ? [] : [path(id)]),
    contentPath: path,
    usage: (id, signal) => diskUsage(path(id), signal),
    ownLabels: () => noLabels,
  };
}
