import { readlinkSync } from "node:fs";
import { FaultError } from "../lib/faults.ts";
import { type Kernel, mountFlags, unmountFlags } from "../sys/index.ts";
import { isHybrid, readCgroupMounts } from "./cgroup/locate.ts";

/** Set for the second life of a host that gave itself a mount namespace. */
const markerVariable = "LIGHTER_SHIM_NAMESPACE";

/**
 * Where v1 controllers and cgroup2 are mounted side by side, gives the host a mount namespace without the latter, since
 * crun refuses to work beside it. Everything but the cgroup mounts stays as shared as it was.
 * Effects: replaces the process (execve) the first time; a namespace that `keeper` still holds is joined, so that the
 * mounts of an earlier host are seen again. Elsewhere it does nothing.
 */
export function enterMountNamespace(kernel: Kernel, keeper: number | undefined): void {
  const mounts = readCgroupMounts();
  if (process.env[markerVariable] === undefined) {
    if (keeper !== undefined && !sameNamespace(keeper)) reexec(["nsenter", `--mount=/proc/${keeper}/ns/mnt`, "--"]);
    if (isHybrid(mounts)) reexec(["unshare", "--mount", "--propagation", "unchanged", "--"]);
    return;
  }
  delete process.env[markerVariable];
  if (!isHybrid(mounts) || mounts.v2 === undefined) return;
  const parent = mounts.v2.folder.slice(0, mounts.v2.folder.lastIndexOf("/"));
  kernel.mount("", parent, "", mountFlags.private | mountFlags.recursive, "");
  kernel.unmount(mounts.v2.folder, unmountFlags.detach);
}

function sameNamespace(pid: number): boolean {
  return readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync("/proc/self/ns/mnt");
}

/** Becomes the same program with the same arguments, started through a tool that changes namespaces. */
function reexec(tool: readonly [string, ...string[]]): void {
  const path = Bun.which(tool[0]);
  if (path === null) throw new FaultError("unavailable", `${tool[0]} (util-linux) is needed where cgroups are hybrid`);
  // A compiled program is its own runtime and has no script.
  const script = Bun.main.startsWith("/$bunfs/") ? [] : [Bun.main];
  const args = [...tool, process.execPath, ...process.execArgv, ...script, ...process.argv.slice(2)];
  process.execve?.(path, args, { ...process.env, [markerVariable]: "1" });
}
