import * as fs from "node:fs";
import type { ByteString } from "../lib/tar/index.ts";
import type { Kernel } from "../sys/index.ts";
import { pathBytes } from "./paths.ts";

/** A file as it is in a tree. */
export interface TreeFile {
  /** Below the tree's top; a clean name. */
  readonly name: ByteString;
  /** Where it is. */
  readonly path: ByteString;
  readonly stats: fs.BigIntStats;
}

/** A file below a tree's top; undefined when there is none. */
export function lookAt(root: ByteString, name: ByteString): TreeFile | undefined {
  const path = name === "" ? root : `${root}/${name}`;
  const stats = fs.lstatSync(pathBytes(path), { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : { name, path, stats };
}

/** The names in a folder, in the order of their bytes. */
export function namesIn(path: ByteString): ByteString[] {
  const names = fs.readdirSync(pathBytes(path), { encoding: "buffer" }).map((name) => name.toString("latin1"));
  return names.sort(byBytes);
}

/** Byte strings compare as their bytes do. */
export function byBytes(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function childName(folder: ByteString, name: ByteString): ByteString {
  return folder === "" ? name : `${folder}/${name}`;
}

/** What tells whether two names are one file. */
export function inodeKey(stats: fs.BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

export function deviceMajor(rdev: bigint): number {
  return Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n));
}

export function deviceMinor(rdev: bigint): number {
  return Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n));
}

/** The extended attributes of a file itself whose names pass. */
export function xattrsOf(kernel: Kernel, path: ByteString, wanted: (name: string) => boolean): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const name of kernel.listXattrs(pathBytes(path)).toSorted()) {
    if (!wanted(name)) continue;
    const value = kernel.getXattr(pathBytes(path), name);
    if (value !== undefined) found.set(name, value);
  }
  return found;
}
