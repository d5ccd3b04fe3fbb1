import * as fs from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { algorithmOf, type Digest, digestOf, encodedOf } from "../../lib/digest.ts";

/** Where things lie below a store's root. Source: containerd plugins/content/local/store.go, blobPath and ingestPaths. */
export interface ContentLayout {
  readonly root: string;
  blob(digest: Digest): string;
  /** The folder of an ingest. */
  ingest(backendRef: string): string;
}

export function contentLayout(root: string): ContentLayout {
  return {
    root,
    blob: (digest) => join(root, relativeBlob(digest)),
    ingest: (backendRef) => join(root, relativeIngest(backendRef)),
  };
}

export function relativeBlob(digest: Digest): string {
  return join("blobs", algorithmOf(digest), encodedOf(digest));
}

/** The ref is digested, so that it may be any text of any length. */
export function relativeIngest(backendRef: string): string {
  return join("ingest", encodedOf(digestOf(backendRef)));
}

/** Writes all the bytes at that offset, off the loop. Errors: Node's. */
export async function writeFully(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) done += await writeOnce(fd, done === 0 ? bytes : bytes.subarray(done), position + done);
}

// The callback forms: the promised ones of FileHandle cost four times as much for a message of 1 MiB.
function writeOnce(fd: number, bytes: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, 0, bytes.length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

/** Reads into the buffer from that offset, off the loop; 0 at the end. */
export function readOnce(fd: number, into: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, 0, into.length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

export function syncFile(fd: number): Promise<void> {
  return settle((done) => fs.fsync(fd, done));
}

export function closeFile(fd: number): Promise<void> {
  return settle((done) => fs.close(fd, done));
}

export function truncateFile(fd: number, sizeBytes: number): Promise<void> {
  return settle((done) => fs.ftruncate(fd, sizeBytes, done));
}

export function chmodFile(fd: number, mode: number): Promise<void> {
  return settle((done) => fs.fchmod(fd, mode, done));
}

export function openFile(path: string, flags: number, mode?: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, mode ?? 0o644, (error, fd) => (error === null ? resolve(fd) : reject(error)));
  });
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const fd = await openFile(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    await syncFile(fd);
  } finally {
    await closeFile(fd);
  }
}

/** The size of a file; undefined when there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** True for the error of a path that is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function settle(call: (done: (error: Error | null | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => call((error) => (error ? reject(error) : resolve())));
}
