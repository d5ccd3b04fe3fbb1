import * as fs from "node:fs";
import type { ByteString } from "../../lib/tar/index.ts";
import type { Kernel } from "../../sys/index.ts";
import { pathBytes } from "../paths.ts";
import { byBytes, childName, inodeKey, lookAt, namesIn, type TreeFile } from "../tree-scan.ts";

/** One difference between two trees; `unmodified` tells of a file with several names, which others may be linked to. */
export type Change =
  | { readonly kind: "delete"; readonly name: ByteString }
  | { readonly kind: "add" | "modify" | "unmodified"; readonly file: TreeFile };

const compareBytes = 1 << 16;

/**
 * Walks two trees side by side, in the order of names.
 * Shape: a folder comes before what is in it; of a folder that went, only itself is told.
 * Source: containerd/continuity fs/diff.go, doubleWalkDiff.
 */
export function* treeChanges(
  kernel: Kernel,
  lower: ByteString,
  upper: ByteString,
  folder: ByteString = "",
): Generator<Change> {
  const below = new Set(namesOf(lower, folder));
  const above = namesOf(upper, folder);
  const names = [...new Set([...below, ...above])].sort(byBytes);
  for (const base of names) {
    const name = childName(folder, base);
    const after = lookAt(upper, name);
    const before = below.has(base) ? lookAt(lower, name) : undefined;
    if (after === undefined) {
      if (before !== undefined) yield { kind: "delete", name };
      continue;
    }
    yield* changesOf(kernel, before, after);
    if (!after.stats.isDirectory()) continue;
    if (before?.stats.isDirectory() === true) yield* treeChanges(kernel, lower, upper, name);
    else yield* allBelow(upper, name);
  }
}

function* changesOf(kernel: Kernel, before: TreeFile | undefined, after: TreeFile): Generator<Change> {
  if (before === undefined) yield { kind: "add", file: after };
  else if (!isSame(kernel, before, after)) yield { kind: "modify", file: after };
  else if (!after.stats.isDirectory() && after.stats.nlink > 1n) yield { kind: "unmodified", file: after };
}

function* allBelow(root: ByteString, folder: ByteString): Generator<Change> {
  for (const base of namesOf(root, folder)) {
    const file = lookAt(root, childName(folder, base));
    if (file === undefined) continue;
    yield { kind: "add", file };
    if (file.stats.isDirectory()) yield* allBelow(root, file.name);
  }
}

/**
 * Whether two files are alike, as far as a layer tells.
 * Shape: times without a fraction may have been cut by an archive, so that the content decides.
 * Source: containerd/continuity fs/diff_unix.go and diff.go, sameFile.
 */
export function isSame(kernel: Kernel, before: TreeFile, after: TreeFile): boolean {
  const [a, b] = [before.stats, after.stats];
  if (inodeKey(a) === inodeKey(b)) return true;
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.rdev !== b.rdev) return false;
  if (!sameCapability(kernel, before, after)) return false;
  if (a.isDirectory()) return true;
  const [second, part] = [1_000_000_000n, (ns: bigint): bigint => ns % 1_000_000_000n];
  if (a.size !== b.size || a.mtimeNs / second !== b.mtimeNs / second) return false;
  if (part(a.mtimeNs) !== 0n || part(b.mtimeNs) !== 0n) return part(a.mtimeNs) === part(b.mtimeNs);
  if (a.isSymbolicLink()) return linkOf(before) === linkOf(after);
  return a.size === 0n || !a.isFile() || sameContent(before, after);
}

function sameCapability(kernel: Kernel, before: TreeFile, after: TreeFile): boolean {
  const [a, b] = [before, after].map((file) => kernel.getXattr(pathBytes(file.path), "security.capability"));
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}

function linkOf(file: TreeFile): string {
  return fs.readlinkSync(pathBytes(file.path), { encoding: "buffer" }).toString("latin1");
}

function sameContent(before: TreeFile, after: TreeFile): boolean {
  const [a, b] = [before, after].map((file) => fs.openSync(pathBytes(file.path), "r")) as [number, number];
  try {
    const [bufferA, bufferB] = [Buffer.allocUnsafe(compareBytes), Buffer.allocUnsafe(compareBytes)];
    for (;;) {
      const count = readFully(a, bufferA);
      if (count !== readFully(b, bufferB)) return false;
      if (bufferA.compare(bufferB, 0, count, 0, count) !== 0) return false;
      if (count < compareBytes) return true;
    }
  } finally {
    fs.closeSync(a);
    fs.closeSync(b);
  }
}

function readFully(fd: number, buffer: Buffer): number {
  let done = 0;
  while (done < buffer.length) {
    const count = fs.readSync(fd, buffer, done, buffer.length - done, null);
    if (count === 0) break;
    done += count;
  }
  return done;
}

function namesOf(root: ByteString, folder: ByteString): ByteString[] {
  return namesIn(folder === "" ? root : `${root}/${folder}`);
}
