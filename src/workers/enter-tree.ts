import { constants, openSync, readFileSync, statSync } from "node:fs";
import { invalidArgument } from "../lib/faults.ts";
import { type Kernel, type MountRequest, mountAll, mountFlags } from "../sys/index.ts";
import type { TreeSource } from "./jobs.ts";

/** How a tree is kept, which decides how what an archive hides is written down. */
export interface EnteredTree {
  /** `overlay`: an upper folder of its own, hidden files are marked. `plain`: the files themselves are there. */
  readonly kind: "overlay" | "plain" | "nothing";
  /** The namespace of overlay's own attributes. */
  readonly overlayXattrs: "trusted.overlay." | "user.overlay.";
  /** The folders below an overlay's upper one, the nearest first; opened, since paths cannot reach them any more. */
  readonly lowerFds: readonly number[];
}

/**
 * Makes a tree this thread's root, so that no path whatsoever leads out of it.
 * Shape: with an overlay mount its upper folder; with a single bind mount its source; with no mount nothing at all.
 * Effects: what has to be mounted is mounted in a mount namespace of its own, and goes with the process.
 */
export function enterTree(kernel: Kernel, source: TreeSource): EnteredTree {
  const { mounts } = source;
  if (mounts.length === 0) return { ...plain, kind: "nothing" };
  const place = treePlaceOf(mounts, inUserNamespace());
  if (place === undefined) {
    mountPrivately(kernel, source);
    enterFolder(kernel, source.mountPoint);
    return plain;
  }
  const { folder, kind, overlayXattrs } = place;
  const lowerFds = place.lower.map((path) => openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
  enterFolder(kernel, folder);
  return { kind, overlayXattrs, lowerFds };
}

const plain = { kind: "plain", overlayXattrs: "trusted.overlay.", lowerFds: [] } as const;

/** Where a tree is that needs no mount to be written to. */
export interface TreePlace extends Pick<EnteredTree, "overlayXattrs"> {
  readonly kind: "overlay" | "plain";
  readonly folder: string;
  /** The folders below an overlay's upper one, the nearest first. */
  readonly lower: readonly string[];
}

/** Finds the folder that mounts lead to; undefined when they have to be made for that. */
export function treePlaceOf(mounts: readonly MountRequest[], userNamespace: boolean): TreePlace | undefined {
  const [only] = mounts;
  if (mounts.length !== 1 || only === undefined) return undefined;
  const upper = only.type === "overlay" && !userNamespace ? optionOf(only, "upperdir") : undefined;
  if (upper !== undefined) {
    const lower = (optionOf(only, "lowerdir") ?? "").split(":").filter((path) => path !== "");
    const overlayXattrs = only.options.includes("userxattr") ? "user.overlay." : "trusted.overlay.";
    return { kind: "overlay", folder: upper, lower, overlayXattrs };
  }
  if (!isWritableBind(only)) return undefined;
  return { kind: "plain", folder: only.source, lower: [], overlayXattrs: "trusted.overlay." };
}

/** Mounts a tree on its mount point, where only this process sees it. */
export function mountPrivately(kernel: Kernel, { mounts, mountPoint }: TreeSource): void {
  shutMounts(kernel);
  mountAll(kernel, mounts, mountPoint);
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

let shut = false;

/** Gives this process a mount namespace of its own, out of which nothing propagates. */
function shutMounts(kernel: Kernel): void {
  if (shut) return;
  kernel.unshareMounts();
  kernel.mount("", "/", "", mountFlags.private | mountFlags.recursive, "");
  shut = true;
}

/** True where root is only root of a user namespace: no device nodes, no trusted attributes. */
export function inUserNamespace(): boolean {
  const map = readFileText("/proc/self/uid_map");
  return map !== "" && !/^\s*0\s+0\s+4294967295\s*$/.test(map);
}

function enterFolder(kernel: Kernel, path: string): void {
  if (!path.startsWith("/") || !statSync(path).isDirectory()) {
    throw invalidArgument(`mount source ${JSON.stringify(path)} is not the absolute path of a folder`);
  }
  kernel.chroot(path);
}

function isWritableBind(mount: MountRequest): boolean {
  const known = new Set(["bind", "rbind", "rw"]);
  return (
    mount.target === "" &&
    (mount.type === "bind" || mount.options.some((option) => option === "bind" || option === "rbind")) &&
    mount.options.every((option) => known.has(option))
  );
}

function optionOf(mount: MountRequest, key: string): string | undefined {
  return mount.options.findLast((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
}

function readFileText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // No /proc: nothing is known, and nothing special is assumed.
    return "";
  }
}
