import { openSync } from "node:fs";
import type { Kernel } from "../sys/index.ts";
import { enterTree, inUserNamespace } from "./enter-tree.ts";
import type { UnpackJob, UnpackResult } from "./jobs.ts";
import { givenFd, serveJob } from "./serve-job.ts";
import { compressionOf, type LayerPieces } from "./unpacking/decompress.ts";
import { filePieces, growingPieces } from "./unpacking/layer-file.ts";
import { rightsFor } from "./unpacking/rights.ts";
import { processed } from "./unpacking/stream-processors.ts";
import { unpackArchive } from "./unpacking/unpack-archive.ts";

// Nothing that is declared below and is no function is there yet while the job runs.
await serveJob<"unpack">(unpack);

/** Applies a layer to the job's tree. */
function unpack(job: UnpackJob, kernel: Kernel, nextLine: () => string | undefined): Promise<UnpackResult> {
  const compression = compressionOf(job.mediaType);
  const pieces = layerPieces(job, nextLine);
  const userNamespace = inUserNamespace();
  const tree = enterTree(kernel, job.target);
  // In a user namespace these are no rights over the machine.
  if (!userNamespace && process.getuid?.() === 0) kernel.keepCapabilities(rightsFor(tree));
  return unpackArchive({ kernel, tree, userNamespace, pieces, compression, ...job });
}

function layerPieces({ blob, processors = [] }: UnpackJob, nextLine: () => string | undefined): LayerPieces {
  if (blob === undefined) return growingPieces(givenFd, nextLine);
  const fd = openSync(blob, "r");
  return processors.length === 0 ? filePieces(fd) : processed(fd, processors);
}
