import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Item } from "./install-files.ts";
import { CommandError } from "./usage-error.ts";

/** What is at a path: a file's digest, a link's target, or that it is something else; undefined where there is nothing. */
export async function fingerprintAt(path: string): Promise<string | undefined> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (stat.isSymbolicLink()) return `link:${readlinkSync(path)}`;
  return stat.isFile() ? await digestOf(Bun.file(path).stream()) : "other";
}

/** What `fingerprintAt` will say once the item is there. */
export async function fingerprintOf(item: Item): Promise<string> {
  if (item.kind === "link") return `link:${item.target}`;
  return await digestOf(item.kind === "file" ? new Blob([item.text]).stream() : Bun.file(item.source).stream());
}

async function digestOf(chunks: ReadableStream<Uint8Array>): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}

/** A name beside a file for what is not whole yet; always the same, so that what a crash left is found. */
export function partialPath(path: string): string {
  return `${path}.lighter-new`;
}

/**
 * Puts an item in its place, there whole or not at all, also after a power cut.
 * Effects: replaces what was there.
 */
export function place(item: Item, root: string): void {
  const path = join(root, item.path);
  const partial = partialPath(path);
  rmSync(partial, { force: true });
  if (item.kind === "link") symlinkSync(item.target, partial);
  else writeItem(item, partial);
  renameSync(partial, path);
  syncFolder(dirname(path));
}

function writeItem(item: Exclude<Item, { kind: "link" }>, partial: string): void {
  if (item.kind === "program") copyFileSync(item.source, partial, constants.COPYFILE_EXCL);
  else writeFileSync(partial, item.text, { flag: "wx" });
  const fd = openSync(partial, "r");
  try {
    fchmodSync(fd, item.mode);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Folders on the way to a path that are not there, the outermost first. */
export function missingFolders(root: string, path: string): string[] {
  const missing: string[] = [];
  for (
    let at = path;
    at !== "/" && lstatSync(join(root, at), { throwIfNoEntry: false }) === undefined;
    at = dirname(at)
  )
    missing.unshift(at);
  return missing;
}

/** Makes a folder that others may enter, whatever the umask. */
export function makeFolder(root: string, path: string): void {
  const folder = join(root, path);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  syncFolder(dirname(folder));
}

/** Makes what was renamed or removed in a folder outlast a power cut. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes sure that a path below a root does not lead out of it by a link, as links of a system that is not running do.
 * Errors: CommandError that names the link's folder.
 */
export function checkInside(root: string, path: string): void {
  const top = realpathSync(root);
  let folder = dirname(path);
  while (lstatSync(join(root, folder), { throwIfNoEntry: false }) === undefined) folder = dirname(folder);
  const real = realpathSync(join(root, folder));
  if (real === top || real.startsWith(top === "/" ? "/" : `${top}/`)) return;
  throw new CommandError(`${join(root, folder)} leads out of ${root}, to ${real}`);
}
