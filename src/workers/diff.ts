import { createDigester } from "../lib/digest.ts";
import type { Kernel, MountRequest } from "../sys/index.ts";
import { treeChanges } from "./diffing/changes.ts";
import { LayerWriter } from "./diffing/layer-writer.ts";
import { openOutput } from "./diffing/output.ts";
import { mountPrivately } from "./enter-tree.ts";
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

/**
 * The same view of a tree without the right to write. An overlay in use must not be mounted a second time with its upper
 * folder: it becomes the topmost of the lower ones.
 * Source: containerd core/mount/mount.go, readonlyMounts.
 */
export function readOnly(mount: MountRequest): MountRequest {
  if (mount.type !== "overlay") {
    return { ...mount, options: [...mount.options.filter((option) => option !== "rw" && option !== "ro"), "ro"] };
  }
  const value = (key: string): string | undefined =>
    mount.options.findLast((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  const upper = value("upperdir");
  if (upper === undefined) return mount;
  const rest = mount.options.filter((option) => !/^(?:upperdir|workdir|lowerdir)=/.test(option));
  return { ...mount, options: [...rest, `lowerdir=${[upper, value("lowerdir") ?? ""].join(":")}`] };
}
