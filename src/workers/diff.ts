import { createDigester } from "../lib/digest.ts";
import type { Kernel } from "../sys/index.ts";
import { treeChanges } from "./diffing/changes.ts";
import { LayerWriter } from "./diffing/layer-writer.ts";
import { openOutput } from "./diffing/output.ts";
import { mountPrivately, readOnly } from "./enter-tree.ts";
import type { DiffJob, DiffResult } from "./jobs.ts";
import { serveJob } from "./serve-job.ts";

await serveJob<"diff">(diff);

/**
 * Writes what leads from one tree to the other to standard output.
 * Both become all there is to see, so that a link put into a tree meanwhile leads nowhere else.
 */
async function diff(job: DiffJob, kernel: Kernel): Promise<DiffResult> {
  const output = openOutput(job.compression);
  mountPrivately(kernel, { mounts: job.lower.map(readOnly), mountPoint: `${job.mountFolder}/lower` });
  mountPrivately(kernel, { mounts: job.upper.map(readOnly), mountPoint: `${job.mountFolder}/upper` });
  kernel.chroot(job.mountFolder);
  if (process.getuid?.() === 0) kernel.keepCapabilities(["dacOverride"]);
  const digester = createDigester();
  const write = (bytes: Uint8Array): void => {
    digester.update(bytes);
    output.write(bytes);
  };
  const writer = new LayerWriter({ kernel, root: "/upper", latestSeconds: job.latestSeconds, write });
  for (const change of treeChanges(kernel, "/lower", "/upper")) {
    for (const _ of writer.add(change)) if (output.isFull()) await output.drained();
  }
  writer.finish();
  await output.end();
  return { digest: digester.digest() };
}
