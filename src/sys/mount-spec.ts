import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { FaultError, fault, messageOf } from "../lib/faults.ts";
import { archOpenFlags, closeQuietly, type Fd, openFlags } from "./files.ts";
import type { Kernel } from "./kernel.ts";
import { attachLoop } from "./loop-devices.ts";
import { mountFlags, unmountFlags } from "./mounts.ts";
import { isErrno } from "./sys-error.ts";
import { openUserNamespace } from "./user-namespaces.ts";

/** A mount as mount(8) and containerd's API write it. */
export interface MountRequest {
  readonly type: string;
  readonly source: string;
  /** A folder inside the target; the target itself when empty. */
  readonly target: string;
  readonly options: readonly string[];
}

export interface MountOptions {
  readonly flags: number;
  /** Propagation (shared, private, ...), which takes a call of its own. */
  readonly propagation: number;
  readonly data: readonly string[];
  /** Whose the files are to seem, as `container:host:size` lists; only where both are given. */
  readonly idMap: { readonly uids: string; readonly gids: string } | undefined;
  /** The source is a file that is to become a block device. */
  readonly loop: boolean;
}

const set = (flag: number): { readonly clear: boolean; readonly flag: number } => ({ clear: false, flag });
const clear = (flag: number): { readonly clear: boolean; readonly flag: number } => ({ clear: true, flag });
const f = mountFlags;

/** The options that are flags. Source: mount(8); containerd core/mount/mount_linux.go, parseMountOptions. */
const flagOptions: ReadonlyMap<string, { readonly clear: boolean; readonly flag: number }> = new Map([
  ["async", clear(f.synchronous)],
  ["atime", clear(f.noAtime)],
  ["bind", set(f.bind)],
  ["dev", clear(f.noDev)],
  ["diratime", clear(f.noDirAtime)],
  ["dirsync", set(f.dirSync)],
  ["exec", clear(f.noExec)],
  ["mand", set(f.mandatoryLock)],
  ["noatime", set(f.noAtime)],
  ["nodev", set(f.noDev)],
  ["nodiratime", set(f.noDirAtime)],
  ["noexec", set(f.noExec)],
  ["nomand", clear(f.mandatoryLock)],
  ["norelatime", clear(f.relAtime)],
  ["nostrictatime", clear(f.strictAtime)],
  ["nosuid", set(f.noSuid)],
  ["rbind", set(f.bind | f.recursive)],
  ["relatime", set(f.relAtime)],
  ["remount", set(f.remount)],
  ["ro", set(f.readOnly)],
  ["rw", clear(f.readOnly)],
  ["strictatime", set(f.strictAtime)],
  ["suid", clear(f.noSuid)],
  ["sync", set(f.synchronous)],
]);

const propagationOptions: ReadonlyMap<string, number> = new Map([
  ["shared", f.shared],
  ["rshared", f.shared | f.recursive],
  ["slave", f.slave],
  ["rslave", f.slave | f.recursive],
  ["private", f.private],
  ["rprivate", f.private | f.recursive],
  ["unbindable", f.unbindable],
  ["runbindable", f.unbindable | f.recursive],
]);

/**
 * Splits mount(8) options into mount(2) flags and the filesystem's own data.
 * Errors: invalidArgument (an X-containerd option that nobody took out).
 */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let [flags, propagation] = [0, 0];
  const data: string[] = [];
  let loop = false;
  const maps = new Map<string, string>();
  for (const option of options) {
    const known = flagOptions.get(option);
    const spread = propagationOptions.get(option);
    if (known !== undefined) flags = known.clear ? flags & ~known.flag : flags | known.flag;
    else if (spread !== undefined) propagation |= spread;
    else if (option === "defaults" || option === "") continue;
    else if (option === "loop") loop = true;
    else if (/^[ug]idmap=/.test(option)) maps.set(option.slice(0, 3), option.slice("uidmap=".length));
    else if (option.startsWith("X-containerd.")) {
      throw fault("invalidArgument", `internal mount option "${option}" was not consumed by the mount manager`);
    } else data.push(option);
  }
  const [uids, gids] = [maps.get("uid") ?? "", maps.get("gid") ?? ""];
  // Only both together are a mapping, as in containerd.
  const idMap = uids === "" || gids === "" ? undefined : { uids, gids };
  return { flags, propagation, data, idMap, loop };
}

/** mount(2) takes at most a page of data; containerd leaves this much of it free. */
const maxDataBytes = 4096;
const spareBytes = 512;

/**
 * Mounts one request on a target folder, as containerd's mount.All does: flags, then propagation, then read-only for binds.
 * Errors: SysError with containerd's wording, invalidArgument (options longer than a page).
 */
export function mountRequest(kernel: Kernel, request: MountRequest, target: string): void {
  const where = request.target === "" ? target : `${target}/${request.target}`;
  const { idMap } = parseMountOptions(request.options);
  if (idMap === undefined) return mountPlain(kernel, request, where);
  using namespace = openUserNamespace(kernel, idMap.uids, idMap.gids);
  if (request.type === "overlay") return mountMappedOverlay(kernel, request, where, namespace.fd);
  mountPlain(kernel, request, where);
  kernel.idMapMount(where, where, namespace.fd, false);
}

/** Of a loop mount: the file beneath is not to be cached. Source: containerd core/mount/losetup_linux.go, hasDirectIO. */
const directOption = "direct-io";

/** Mounts without regard to a mapping of ids. */
function mountPlain(kernel: Kernel, request: MountRequest, where: string): void {
  const compact = request.type === "overlay" ? compactLowerDirs(request.options) : undefined;
  const { flags, propagation, data, loop } = parseMountOptions(compact?.options ?? request.options);
  const text = data.filter((option) => !loop || option !== directOption).join(",");
  if (text.length > maxDataBytes) throw fault("invalidArgument", "mount options is too long");
  const call = (source: string): void => {
    if ((flags & f.remount) === 0 || text !== "") kernel.mount(source, where, request.type, flags, text);
  };
  if (loop) {
    using device = attachLoop(kernel, request.source, {
      readOnly: (flags & f.readOnly) !== 0,
      direct: data.includes(directOption),
    });
    call(device.path);
  } else if (compact === undefined) call(request.source);
  else inFolder(compact.folder, () => call(request.source));
  if (propagation !== 0) kernel.mount("", where, "", propagation, "");
  const readOnlyBind = f.bind | f.readOnly;
  if ((flags & readOnlyBind) === readOnlyBind) kernel.mount("", where, "", flags | f.remount, "");
}

/**
 * An overlay cannot be mapped itself: its lower folders are, through a mount of the folder that holds them all, which the
 * overlay keeps once it is mounted. Its upper folder has the right owner already.
 * Source: containerd core/mount/mount_linux.go, prepareIDMappedOverlay.
 */
function mountMappedOverlay(kernel: Kernel, request: MountRequest, where: string, namespace: Fd): void {
  const options = request.options.filter((option) => !/^[ug]idmap=/.test(option));
  const at = options.findIndex((option) => option.startsWith("lowerdir="));
  const lower = (options[at] ?? "").slice("lowerdir=".length).split(":");
  const common = lower.length === 1 ? `${dirname(lower[0] as string)}/` : commonFolder(lower);
  if (at === -1 || common === undefined) throw fault("invalidArgument", "overlay without lower folders in one place");
  const mapped = mkdtempSync(join(tmpdir(), "ovl-idmapped"));
  try {
    kernel.idMapMount(common, mapped, namespace, true);
    try {
      const through = lower.map((folder) => `${mapped}/${folder.slice(common.length)}`).join(":");
      mountPlain(kernel, { ...request, options: options.toSpliced(at, 1, `lowerdir=${through}`) }, where);
    } finally {
      kernel.unmount(mapped, unmountFlags.detach);
    }
  } finally {
    rmdirSync(mapped);
  }
}

/**
 * Mounts a list, first to last; what was mounted is unmounted again when a later one fails.
 * Errors: unknown, with the kernel's text after `failed to mount rootfs component`.
 */
export function mountAll(kernel: Kernel, requests: readonly MountRequest[], target: string): void {
  let mounted = 0;
  try {
    for (const request of requests) {
      mountRequest(kernel, request, target);
      mounted++;
    }
  } catch (error) {
    for (; mounted > 0; mounted--) unmountAll(kernel, target);
    throw new FaultError("unknown", `failed to mount rootfs component: ${messageOf(error)}`, { cause: error });
  }
}

/** How deep mounts on one folder may be stacked before something is taken to be wrong. */
const maxStacked = 64;

/**
 * Unmounts everything that is stacked on a folder; a folder that is no mount point, or is not there, is fine.
 * Effects: a busy one is detached, so that it goes when its last user does.
 */
export function unmountAll(kernel: Kernel, target: string): void {
  for (let n = 0; n < maxStacked; n++) {
    try {
      kernel.unmount(target, unmountFlags.noFollow);
    } catch (error) {
      if (isErrno(error, "EINVAL", "ENOENT", "ENOTDIR")) return;
      if (!isErrno(error, "EBUSY")) throw error;
      kernel.unmount(target, unmountFlags.noFollow | unmountFlags.detach);
    }
  }
}

/**
 * Takes everything that is stacked on a folder out of sight, whoever uses it, and answers with descriptors that hold it: it goes for
 * good when they are closed, and that is when its filesystem is written back, however long that takes.
 * Shape: none for a folder that is no mount point, or is not there.
 */
export function detachAll(kernel: Kernel, target: string): Fd[] {
  const held: Fd[] = [];
  try {
    while (held.length < maxStacked) {
      const fd = kernel.open(target, openFlags.path | archOpenFlags.directory | archOpenFlags.noFollow);
      held.push(fd);
      kernel.unmount(target, unmountFlags.noFollow | unmountFlags.detach);
    }
  } catch (error) {
    // The last one is of the folder below, which is no mount.
    if (isErrno(error, "EINVAL")) closeQuietly(kernel, held.pop() as Fd);
    else if (!isErrno(error, "ENOENT", "ENOTDIR")) {
      for (const fd of held) closeQuietly(kernel, fd);
      throw error;
    }
  }
  return held;
}

interface Compact {
  readonly folder: string;
  readonly options: readonly string[];
}

/** Writes the lower folders relative to their common parent when the options would not fit in a page. */
export function compactLowerDirs(options: readonly string[]): Compact | undefined {
  const size = options.reduce((sum, option) => sum + option.length + 1, 0);
  const at = options.findIndex((option) => option.startsWith("lowerdir="));
  if (size < maxDataBytes - spareBytes || at === -1) return undefined;
  const folders = (options[at] as string).slice("lowerdir=".length).split(":");
  const folder = commonFolder(folders);
  if (folders.length < 2 || folder === undefined) return undefined;
  const lower = `lowerdir=${folders.map((one) => one.slice(folder.length)).join(":")}`;
  return { folder, options: [...options.slice(0, at), ...options.slice(at + 1), lower] };
}

function commonFolder(paths: readonly string[]): string | undefined {
  const first = paths[0] ?? "";
  let length = first.length;
  for (const path of paths) {
    let same = 0;
    while (same < length && path[same] === first[same]) same++;
    length = same;
  }
  const slash = first.lastIndexOf("/", length - 1);
  return slash > 0 && paths.every((path) => path.length > slash + 1) ? first.slice(0, slash + 1) : undefined;
}

/** Runs a synchronous call in another working folder. JUSTIFICATION: nothing else runs before the folder is back. */
function inFolder(folder: string, call: () => void): void {
  const before = process.cwd();
  process.chdir(folder);
  try {
    call();
  } finally {
    process.chdir(before);
  }
}
