import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import type { Mount } from "../../gen/containerd/types/mount_pb.ts";

/** A passwd or group file larger than this is not one. */
const maxFileBytes = 4 * 1024 * 1024;

/**
 * Reads files of a root that is not mounted, from the folders that its mounts name, the topmost first.
 * Shape: bind mounts and overlays are understood; of others nothing is found. No symbolic link is followed: the image
 * made them, and they would lead anywhere on this machine.
 */
export function readerOf(mounts: readonly Mount[]): (path: string) => string | undefined {
  return rootfsReader(mounts.flatMap(foldersOf));
}

function foldersOf(mount: Mount): string[] {
  if (mount.type === "bind") return [mount.source];
  if (mount.type !== "overlay") return [];
  const option = (name: string): string | undefined =>
    mount.options.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
  return [option("upperdir"), ...(option("lowerdir")?.split(":") ?? [])].filter((path) => path !== undefined);
}

/** Reads files of a root made of these folders, the topmost first. */
export function rootfsReader(folders: readonly string[]): (path: string) => string | undefined {
  return (path) => {
    for (const folder of folders) {
      const found = readLayered(folder, path);
      if (found === "hidden") return undefined;
      if (found !== "absent") return found.text;
    }
    return undefined;
  };
}

function readLayered(folder: string, path: string): "absent" | "hidden" | { text: string | undefined } {
  let at = folder;
  for (const part of path.split("/").filter((name) => name !== "")) {
    at += `/${part}`;
    const stat = lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined) return "absent";
    // A character device 0:0 is overlay's mark for something that was deleted.
    if (stat.isCharacterDevice() && stat.rdev === 0) return "hidden";
    if (!stat.isDirectory() && !stat.isFile()) return { text: undefined };
  }
  return { text: readSmall(at) };
}

function readSmall(path: string): string | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = fstatSync(fd);
    if (size > maxFileBytes) return undefined;
    const buffer = Buffer.alloc(size);
    return buffer.toString("utf8", 0, readSync(fd, buffer, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}
