import { constants } from "node:fs";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { notBefore } from "../../lib/clock.ts";
import type { Digester } from "../../lib/digest.ts";
import { Instant } from "../../lib/instant.ts";
import { closeFile, isMissing, openFile, readOnce, sizeOf } from "./blob-files.ts";
import type { IngestStatus } from "./content.ts";
import { createIngestDigester, isResumable, worthKeepingBytes } from "./resumable-digester.ts";
import { isSaveDue, loadHash, saveHash } from "./saved-hash.ts";

/** An ingest on disk, and what is remembered of it while the daemon runs. */
export interface Ingest {
  readonly folder: string;
  readonly backendRef: string;
  offset: number;
  total: number;
  startedAt: Instant;
  updatedAt: Instant;
  /** The digest of the first `offset` bytes; undefined when they have to be read again to know it. */
  digester: Digester | undefined;
  /** How far the digest had come when it was kept last, and when that was. */
  readonly kept: { offset: number; atMs: number };
}

/** What is told of an ingest. */
export function statusOf(ref: string, { offset, total, startedAt, updatedAt }: Ingest): IngestStatus {
  return { ref, offset, total, expected: undefined, startedAt, updatedAt };
}

/** Where a hash reads the file in pieces: as much as takes the loop under a millisecond. */
const hashSliceBytes = 512 * 1024;

export function dataPath(folder: string): string {
  return join(folder, "data");
}

/** The file that names the blob which the ingest is about to become: what tells a start-up how far a commit got. */
export function intentPath(folder: string): string {
  return join(folder, "commit");
}

/**
 * Makes an ingest's folder, in containerd's layout, anew: what was there is gone.
 * Source: containerd plugins/content/local/store.go, writer.
 */
export async function createIngest(folder: string, backendRef: string, total: number, now: Instant): Promise<Ingest> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const time = now.toString();
  await Promise.all([
    writeFile(join(folder, "ref"), backendRef),
    writeFile(join(folder, "startedat"), time),
    writeFile(join(folder, "updatedat"), time),
    ...(total > 0 ? [writeFile(join(folder, "total"), String(total))] : []),
  ]);
  const digester = createIngestDigester(total);
  return { folder, backendRef, offset: 0, total, startedAt: now, updatedAt: now, digester, kept: nothingKept() };
}

/**
 * Reads back an ingest that an earlier run left; undefined when there is none that can be gone on with.
 * Shape: the digester is left out: reading all the bytes waits until somebody resumes.
 */
export async function loadIngest(folder: string, backendRef: string): Promise<Ingest | undefined> {
  try {
    const [data, ref, started, updated, total] = await Promise.all([
      stat(dataPath(folder), { bigint: true }),
      readFile(join(folder, "ref"), "utf8"),
      readTime(join(folder, "startedat")),
      readTime(join(folder, "updatedat")),
      readFile(join(folder, "total"), "utf8").catch(() => "0"),
    ]);
    if (ref !== backendRef || started === undefined || updated === undefined) return undefined;
    const written = Instant.ofNanos(data.mtimeNs);
    return {
      folder,
      backendRef,
      offset: Number(data.size),
      total: /^[0-9]{1,15}$/.test(total) ? Number(total) : 0,
      startedAt: started,
      // Not written with every piece: the file's own time may know better.
      updatedAt: notBefore(updated, written),
      digester: undefined,
      kept: nothingKept(),
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Notes when the ingest was last written to. */
export async function saveUpdated(ingest: Ingest): Promise<void> {
  await writeFile(join(ingest.folder, "updatedat"), ingest.updatedAt.toString());
}

/** Opens the data for writing. */
export function openData(ingest: Ingest): Promise<number> {
  return openFile(dataPath(ingest.folder), constants.O_RDWR | constants.O_CREAT, 0o644);
}

/**
 * Brings the digester up to the end of the file, when it isn't.
 * Effects: reads off the loop, hashing slice by slice, what the digest that was kept does not know of; all of it when there is none.
 */
export async function catchUp(ingest: Ingest, signal: AbortSignal): Promise<void> {
  const data = dataPath(ingest.folder);
  if (ingest.digester !== undefined && (await sizeOf(data)) === ingest.offset) return;
  const kept = await loadHash(ingest.folder, data);
  const digester = kept?.digester ?? createIngestDigester(ingest.total);
  ingest.offset = await digestFile(data, digester, signal, kept?.offset);
  ingest.digester = digester;
}

/** Keeps how far the digest came, when that is due; `atEnd` when nothing is written for now. */
export async function keepHash(ingest: Ingest, atEnd = false): Promise<void> {
  const { digester, offset, kept, folder } = ingest;
  if (!isResumable(digester) || offset < worthKeepingBytes || offset === kept.offset) return;
  const nowMs = performance.now();
  if (!atEnd && !isSaveDue(kept, offset, nowMs)) return;
  await saveHash(folder, dataPath(folder), offset, digester);
  kept.offset = offset;
  kept.atMs = nowMs;
}

function nothingKept(): Ingest["kept"] {
  return { offset: 0, atMs: Number.NEGATIVE_INFINITY };
}

/** Feeds a file, from an offset on, to a digester; answers its size. Effects: never holds the loop for more than a slice. */
export async function digestFile(path: string, digester: Digester, signal: AbortSignal, from = 0): Promise<number> {
  const fd = await openFile(path, constants.O_RDONLY);
  try {
    const buffer = Buffer.allocUnsafeSlow(hashSliceBytes);
    let offset = from;
    for (;;) {
      signal.throwIfAborted();
      const count = await readOnce(fd, buffer, offset);
      if (count === 0) return offset;
      digester.update(buffer.subarray(0, count));
      offset += count;
    }
  } finally {
    await closeFile(fd);
  }
}

/** Hashes bytes in slices, giving way to other work between them. */
export async function digestSlices(digester: Digester, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += hashSliceBytes) {
    if (at > 0) await new Promise<void>((resolve) => setImmediate(resolve));
    digester.update(bytes.length <= hashSliceBytes ? bytes : bytes.subarray(at, at + hashSliceBytes));
  }
}

async function readTime(path: string): Promise<Instant | undefined> {
  return Instant.parse(await readFile(path, "utf8"));
}
