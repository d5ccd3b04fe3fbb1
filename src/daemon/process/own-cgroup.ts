import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isErrno } from "../../sys/index.ts";

/**
 * Puts the daemon into the cgroup that its configuration names, and with it all that it starts from then on.
 * Shape: on v1 a cgroup that no controller has is made first; on v2 it has to be there. Errors: unknown, with the
 * kernel's words. Source: containerd cmd/containerd/server/server_linux.go, apply.
 */
export async function enterCgroup(configured: string): Promise<void> {
  if (configured === "") return;
  // Few daemons have this: the others don't load the shim host's code for it.
  const { cgroupAt, joinCgroup, readCgroupMounts } = await import("../../shim/index.ts");
  const cgroup = join("/", configured);
  const found = cgroupAt(cgroup, readCgroupMounts());
  if (found?.version === 1) makeFolders(new Set(Object.values(found.paths)));
  joinCgroup(cgroup);
}

/** Makes the cgroup's folders unless a controller has it already: it is somebody's who chose the controllers then. */
function makeFolders(folders: ReadonlySet<string>): void {
  if ([...folders].some((folder) => textOf(join(folder, "cgroup.procs")) !== undefined)) return;
  for (const folder of folders) {
    mkdirSync(folder, { recursive: true });
    for (const file of ["cpuset.cpus", "cpuset.mems"]) inherit(folder, file);
  }
}

/** A new cpuset is empty and takes no process: it gets what its parent has, which may be new as well. */
function inherit(folder: string, file: string): void {
  const own = textOf(join(folder, file));
  if (own?.trim() !== "") return;
  inherit(dirname(folder), file);
  writeFileSync(join(folder, file), textOf(join(dirname(folder), file)) ?? "");
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
