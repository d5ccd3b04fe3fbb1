import { FaultError, quote } from "../lib/faults.ts";

export { workerProgram } from "./spawn-worker.ts";

/** Becomes the worker of that name: what the one executable does when it is started as one. */
export async function runWorker(name: string | undefined): Promise<void> {
  switch (name) {
    case "copy-in":
      await import("./copy-in.ts");
      return;
    case "copy-out":
      await import("./copy-out.ts");
      return;
    case "copy-tree":
      await import("./copy-tree.ts");
      return;
    case "diff":
      await import("./diff.ts");
      return;
    case "mount":
      await import("./mount.ts");
      return;
    case "remove-tree":
      await import("./remove-tree.ts");
      return;
    case "repack":
      await import("./repack.ts");
      return;
    case "settle-tree":
      await import("./settle-tree.ts");
      return;
    case "unmount":
      await import("./unmount.ts");
      return;
    case "unpack":
      await import("./unpack.ts");
      return;
    case "unpack-layers":
      await import("./unpack-layers.ts");
      return;
    default:
      throw new FaultError("invalidArgument", `no worker ${quote(name ?? "")}`);
  }
}
