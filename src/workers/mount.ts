import { mkdirSync } from "node:fs";
import { FaultError, messageOf } from "../lib/faults.ts";
import { isErrno, type Kernel, type MountRequest, mountRequest, SysError, wallClock } from "../sys/index.ts";
import type { MountedRequest, MountJob, MountStep, MountTransform } from "./jobs.ts";
import { formatMount, type MountedBefore } from "./mounting/format-mounts.ts";
import { makeFilesystem } from "./mounting/make-filesystem.ts";
import { makeFolders } from "./mounting/make-folders.ts";
import { serveJob } from "./serve-job.ts";

await serveJob<"mount">((job, kernel) => {
  const mounted: (MountedRequest & MountedBefore)[] = [];
  for (const step of job.steps) mounted.push(mountStep(kernel, job, step, mounted));
  return { mounted, last: job.last === undefined ? undefined : transform(kernel, job, job.last, mounted) };
});

function mountStep(
  kernel: Kernel,
  job: MountJob,
  step: MountStep & { readonly mountPoint: string },
  before: readonly MountedBefore[],
): MountedRequest & MountedBefore {
  const request = transform(kernel, job, step, before);
  const { mountPoint } = step;
  mkdirSync(mountPoint, { mode: 0o700 });
  try {
    if (request.type === "erofs") mountErofs(kernel, request, mountPoint);
    else mountRequest(kernel, request, mountPoint);
  } catch (error) {
    const context = request.type === "erofs" ? "mount handler failed" : "mount failed";
    // What the kernel refuses is unknown, as in containerd: another kind would tell callers to mount it themselves.
    const kind = error instanceof SysError || !(error instanceof FaultError) ? "unknown" : error.kind;
    throw new FaultError(kind, `${context} ${shown(request)}: ${messageOf(error)}`, { cause: error });
  }
  return { ...request, mountPoint, mountedAt: wallClock() };
}

function transform(
  kernel: Kernel,
  { roots }: MountJob,
  { request, transforms }: MountStep,
  before: readonly MountedBefore[],
): MountRequest {
  const apply: Readonly<Record<MountTransform, (one: MountRequest) => MountRequest>> = {
    format: (one) => formatMount(one, before),
    mkdir: (one) => makeFolders(kernel, roots, one),
    mkfs: (one) => makeFilesystem(kernel, roots, one),
  };
  return transforms.reduce((one, name) => apply[name](one), request);
}

/** From the file itself where the kernel can, through a loop device where not. Source: containerd plugins/mount/erofs. */
function mountErofs(kernel: Kernel, request: MountRequest, mountPoint: string): void {
  if (request.options.some((option) => option.startsWith("X-containerd.dmverity="))) {
    throw new FaultError("unknown", "layer requires dm-verity, which is not built yet");
  }
  const options = request.options.filter((option) => option !== "loop");
  try {
    mountRequest(kernel, { ...request, options }, mountPoint);
  } catch (error) {
    const parts = options.some((option) => option.startsWith("device="));
    if (!isErrno(error, "ENOTBLK") || parts) throw error;
    mountRequest(kernel, { ...request, options: [...options, "ro", "loop"] }, mountPoint);
  }
}

/** As Go prints its structure. */
function shown({ type, source, target, options }: MountRequest): string {
  return `{${type} ${source} ${target} [${options.join(" ")}]}`;
}
