import type { Kernel } from "../sys/index.ts";
import { openTree } from "./copying/open-tree.ts";
import { archiveTree } from "./copying/tree-archive.ts";
import { openOutput } from "./diffing/output.ts";
import { readOnly } from "./enter-tree.ts";
import type { CopyOutJob, Nothing } from "./jobs.ts";
import { serveJob } from "./serve-job.ts";

await serveJob<"copy-out">(copyOut);

/** Writes what is at a path of a container's to standard output. */
async function copyOut(job: CopyOutJob, kernel: Kernel): Promise<Nothing> {
  const { path, noWalk, source } = job;
  const tree = openTree(kernel, source === undefined ? undefined : { ...source, mounts: source.mounts.map(readOnly) });
  if (process.getuid?.() === 0) kernel.keepCapabilities(["dacOverride"]);
  const output = openOutput("none");
  const write = (bytes: Uint8Array): void => output.write(bytes);
  for (const _ of archiveTree({ kernel, tree, path, noWalk, write })) if (output.isFull()) await output.drained();
  await output.end();
  return {};
}
