import { byteString } from "../lib/tar/index.ts";
import type { Kernel } from "../sys/index.ts";
import { TreeUnpacker } from "./copying/archive-tree.ts";
import { openTree } from "./copying/open-tree.ts";
import type { CopyInJob, Nothing } from "./jobs.ts";
import { serveJob } from "./serve-job.ts";
import { openLayer } from "./unpacking/decompress.ts";
import { readArchive } from "./unpacking/unpack-archive.ts";

await serveJob<"copy-in">(copyIn);

/** Puts the archive that follows the job on standard input into a folder of a container's. */
async function copyIn(
  job: CopyInJob,
  kernel: Kernel,
  _nextLine: () => string | undefined,
  pieces: () => Iterable<Uint8Array>,
): Promise<Nothing> {
  const { path, preserveOwnership, limits } = job;
  const tree = openTree(kernel, job.source);
  if (process.getuid?.() === 0) {
    kernel.keepCapabilities(["chown", "dacOverride", "fowner", "fsetid", "mknod", "setfcap"]);
  }
  const target = byteString(path);
  // Before anything is read: the caller hears of a wrong path at once.
  tree.folder(target)[Symbol.dispose]();
  const unpacker = new TreeUnpacker({ kernel, tree, target, preserveOwnership, limits });
  await readArchive(openLayer(pieces(), "detect"), limits.maxBytes, unpacker, () => unpacker.finish());
  return {};
}
