import { FaultError, fault, messageOf } from "../lib/faults.ts";
import type { Kernel } from "./kernel.ts";
import { mountFlags, unmountFlags } from "./mounts.ts";
import { isErrno } from "./sys-error.ts";

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
 * Errors: notImplemented (loop, uidmap and gidmap), invalidArgument (an X-containerd option that nobody took out).
 */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let [flags, propagation] = [0, 0];
  const data: string[] = [];
  for (const option of options) {
    const known = flagOptions.get(option);
    const spread = propagationOptions.get(option);
    if (known !== undefined) flags = known.clear ? flags & ~known.flag : flags | known.flag;
    else if (spread !== undefined) propagation |= spread;
    else if (option === "defaults" || option === "") continue;
    else if (option === "loop" || /^[ug]idmap=/.test(option)) throw fault("notImplemented", `mount option "${option}"`);
    else if (option.startsWith("X-containerd.")) {
      throw fault("invalidArgument", `internal mount option "${option}" was not consumed by the mount manager`);
    } else data.push(option);
  }
  return { flags, propagation, data };
}

/** mount(2) takes at most a page of data; containerd leaves this much of it free. */
const maxDataBytes = 4096;
const spareBytes = 512;

/**
 * Mounts one request on a target folder, as containerd's mount.All does: flags, then propagation, then read-only for binds.
 * Errors: SysError with containerd's wording, invalidArgument (options longer than a page).
 */
export function mountRequest(kernel: Kernel, request: MountRequest, target: string): void {
  const compact = request.type === "overlay" ? compactLowerDirs(request.options) : undefined;
  const { flags, propagation, data } = parseMountOptions(compact?.options ?? request.options);
  const text = data.join(",");
  if (text.length > maxDataBytes) throw fault("invalidArgument", "mount options is too long");
  const where = request.target === "" ? target : `${target}/${request.target}`;
  const call = (): void => {
    if ((flags & f.remount) === 0 || text !== "") kernel.mount(request.source, where, request.type, flags, text);
  };
  if (compact === undefined) call();
  else inFolder(compact.folder, call);
  if (propagation !== 0) kernel.mount("", where, "", propagation, "");
  const readOnlyBind = f.bind | f.readOnly;
  if ((flags & readOnlyBind) === readOnlyBind) kernel.mount("", where, "", flags | f.remount, "");
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
