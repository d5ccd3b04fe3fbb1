import { readFileSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";
import type { CgroupRecord } from "../state/records.ts";

/** Where the cgroup hierarchies are mounted, as this process sees it. */
export interface CgroupMounts {
  /** v1 controllers by name; several may share a mount. */
  readonly v1: ReadonlyMap<string, CgroupMount>;
  readonly v2: CgroupMount | undefined;
}

export interface CgroupMount {
  readonly folder: string;
  /** What of the hierarchy is mounted there. */
  readonly root: string;
}

/** Reads the mount table. Source: proc_pid_mountinfo(5). */
export function readCgroupMounts(mountinfo: string = readFileSync("/proc/self/mountinfo", "utf8")): CgroupMounts {
  const v1 = new Map<string, CgroupMount>();
  let v2: CgroupMount | undefined;
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    if (before === undefined || after === undefined) continue;
    const [, , , root = "", folder = ""] = before.split(" ").map(unescapeOctal);
    const [type, , options = ""] = after.split(" ");
    if (type === "cgroup2") v2 ??= { folder, root };
    else if (type === "cgroup") {
      for (const controller of options.split(",")) if (!v1.has(controller)) v1.set(controller, { folder, root });
    }
  }
  return { v1, v2 };
}

/** True where v1 controllers and a cgroup2 mount stand side by side, which crun refuses. */
export function isHybrid(mounts: CgroupMounts): boolean {
  return mounts.v2 !== undefined && mounts.v1.size > 0;
}

/**
 * The cgroup folders of a process; undefined when it is gone or in no cgroup of its own.
 * Shape: v1 wins where both exist, since the controllers are there. Root cgroups are left out: they are everybody's.
 */
export function locateCgroup(pid: number, mounts: CgroupMounts): CgroupRecord | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  return parseCgroup(text, mounts);
}

/** The folders that /proc/PID/cgroup's text names. Source: cgroups(7). */
export function parseCgroup(text: string, mounts: CgroupMounts): CgroupRecord | undefined {
  const paths: Record<string, string> = {};
  let unified: string | undefined;
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    const [, controllers = "", path = ""] = match ?? [];
    if (match === null || path === "/" || path === "") continue;
    if (controllers === "") unified = folderOf(mounts.v2, path);
    for (const controller of controllers.split(",")) {
      const folder = folderOf(mounts.v1.get(controller), path);
      if (controller !== "" && folder !== undefined) paths[controller.replace(/^name=/, "")] = folder;
    }
  }
  if (mounts.v1.has("memory") || mounts.v1.has("freezer") || mounts.v1.has("pids")) {
    return Object.keys(paths).length === 0 ? undefined : { version: 1, paths };
  }
  return unified === undefined ? undefined : { version: 2, path: unified };
}

/** The folders of a cgroup by its path, as a container's configuration names it; there or not. */
export function cgroupAt(path: string, mounts: CgroupMounts): CgroupRecord | undefined {
  const lines = [...mounts.v1.keys()].map((controller) => `1:${controller}:${path}`);
  return parseCgroup([...lines, `0::${path}`].join("\n"), mounts);
}

/** Where runc puts a container into the v2 hierarchy beside its v1 controllers as well. Source: runc libcontainer/cgroups/fs, hybrid mode. */
export function unifiedBeside(cgroup: CgroupRecord, { v1, v2 }: CgroupMounts): string | undefined {
  if (cgroup.version === 2 || v2 === undefined || v2.root !== "/") return undefined;
  for (const [controller, mount] of v1) {
    const folder = cgroup.paths[controller.replace(/^name=/, "")];
    if (mount.root === "/" && folder?.startsWith(`${mount.folder}/`) === true)
      return v2.folder + folder.slice(mount.folder.length);
  }
  return undefined;
}

/** The folder of any one cgroup that /proc/PID/cgroup's text names, also of one that is everybody's; v2 is preferred. */
export function seenCgroup(text: string, { v1, v2 }: CgroupMounts): string | undefined {
  const folders = text.split("\n").map((line) => {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    const mount = controllers === "" ? v2 : v1.get(controllers.split(",")[0] ?? "");
    const folder = path === mount?.root ? mount.folder : folderOf(mount, path);
    return { folder: path === "" ? undefined : folder, isV2: controllers === "" };
  });
  const seen = folders.filter(({ folder }) => folder !== undefined);
  return (seen.find(({ isV2 }) => isV2) ?? seen[0])?.folder;
}

function folderOf(mount: CgroupMount | undefined, path: string): string | undefined {
  if (mount === undefined) return undefined;
  if (mount.root === "/" || mount.root === "") return mount.folder + path;
  if (path === mount.root) return undefined;
  return path.startsWith(`${mount.root}/`) ? mount.folder + path.slice(mount.root.length) : undefined;
}

/** Spaces and backslashes are written as octal in mountinfo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
