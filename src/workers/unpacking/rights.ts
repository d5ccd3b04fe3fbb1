import type { Capability } from "../../sys/index.ts";
import type { EnteredTree } from "../enter-tree.ts";

/**
 * What the thread that reads an archive and makes the files can do, and no more. The runtime's own threads were there before
 * it gave up the rest; they make no system call that an archive has a say in.
 */
export function rightsFor(tree: Pick<EnteredTree, "kind" | "overlayXattrs">): readonly Capability[] {
  const files = ["chown", "dacOverride", "fowner", "fsetid", "mknod", "setfcap"] as const;
  // overlay's own marks are attributes that take more.
  return tree.kind === "overlay" && tree.overlayXattrs === "trusted.overlay." ? [...files, "sysAdmin"] : files;
}
