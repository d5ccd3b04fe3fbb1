import type { Capability, MountRequest } from "../../sys/index.ts";
import { type EnteredTree, treePlaceOf } from "../enter-tree.ts";

/** What the thread that reads an archive and makes the files can do, and no more. */
export function rightsFor(tree: Pick<EnteredTree, "kind" | "overlayXattrs">): readonly Capability[] {
  const files = ["chown", "dacOverride", "fowner", "fsetid", "mknod", "setfcap"] as const;
  // overlay's own marks are attributes that take more.
  return tree.kind === "overlay" && tree.overlayXattrs === "trusted.overlay." ? [...files, "sysAdmin"] : files;
}

/**
 * What a process that is to unpack a layer needs from its start, for its own thread and the runtime's; undefined where that is
 * all, since it has to mount the tree first.
 */
export function startingRights(mounts: readonly MountRequest[]): readonly Capability[] | undefined {
  const place = treePlaceOf(mounts, false);
  return place === undefined ? undefined : [...rightsFor(place), "sysChroot"];
}
