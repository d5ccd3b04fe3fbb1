import { closeSync } from "node:fs";
import { FaultError } from "../lib/faults.ts";
import type { Kernel } from "../sys/index.ts";
import type { EnteredTree } from "./enter-tree.ts";
import type { LayerJob, UnpackResult } from "./jobs.ts";
import { serveJobs } from "./serve-job.ts";
import { compressionOf } from "./unpacking/decompress.ts";
import { filePieces, growingPieces } from "./unpacking/layer-file.ts";
import { rightsFor } from "./unpacking/rights.ts";
import { unpackArchive } from "./unpacking/unpack-archive.ts";

// Nothing that is declared below and is no function is there yet while the jobs run.
await serveJobs<"unpack-layers">(unpackLayer);

/**
 * Applies one layer after another, each to a tree of its own that is this thread's root meanwhile. While an archive is read
 * only those rights count that one layer's process has, and no name in it leads out of the tree. CAP_SYS_CHROOT stays
 * permitted, for the next layer: whoever makes this thread run code of theirs, by a fault of the runtime, can have it count
 * and leave the root. Of other roots it is told by nothing but the descriptors that come with a layer and are closed with it.
 */
async function unpackLayer(
  job: LayerJob,
  kernel: Kernel,
  nextLine: () => string | undefined,
  [folder, blob, ...lowerFds]: readonly number[],
): Promise<UnpackResult> {
  if (folder === undefined || blob === undefined)
    throw new FaultError("invalidArgument", "no files came with the layer");
  const compression = compressionOf(job.mediaType);
  const tree: EnteredTree = { kind: job.kind, overlayXattrs: job.overlayXattrs, lowerFds };
  const rights = rightsFor(tree);
  // All jobs of one worker are of one kind: this takes rights away the first time, and no more after that.
  kernel.keepCapabilities([...rights, "sysChroot"]);
  kernel.chrootTo(folder);
  kernel.useCapabilities(rights);
  closeSync(folder);
  const pieces = job.growing ? growingPieces(blob, nextLine) : filePieces(blob);
  const result = await unpackArchive({ kernel, tree, userNamespace: false, pieces, compression, ...job });
  for (const fd of [blob, ...lowerFds]) closeSync(fd);
  return result;
}
