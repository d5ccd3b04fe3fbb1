import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "./blob-files.ts";
import { type ResumableDigester, resumeDigester } from "./resumable-digester.ts";

/** A file as the kernel tells of it: who it is, how long, and when it was last written to and changed in any way. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: bigint;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
}

/** How far a hash had come, and of which file (docs/adr/0016). */
interface SavedHash {
  readonly schema: 1;
  readonly boot: string;
  readonly offset: number;
  /** Of the hash, in base64. */
  readonly state: string;
  /** Times and sizes as decimal digits, which JSON does not round. */
  readonly file: { readonly [field in keyof FileIdentity]: string };
}

/** A state is saved before a write that comes so many bytes or so much later than the last one was. */
const saveBytes = 64 << 20;
const saveMs = 1000;
/**
 * A file that grew since its state was saved was last touched so much later at most: `saveMs`, and what one write may take.
 * Whatever touched it later than that was no write of ours.
 */
const writtenWithinNs = 5_000_000_000n;

/** When a writer has saved its hash last. */
export interface HashSaving {
  offset: number;
  atMs: number;
}

/** Whether it is time to save again. */
export function isSaveDue(saving: HashSaving, offset: number, nowMs: number): boolean {
  if (offset === saving.offset) return false;
  return offset - saving.offset >= saveBytes || nowMs - saving.atMs >= saveMs;
}

/**
 * Keeps how far a hash came, beside the file.
 * Effects: no sync: what is kept counts for this boot of the machine alone, in which what was written is there whoever dies.
 * Die on any line, and the state before, or none, is there.
 */
export async function saveHash(
  folder: string,
  data: string,
  offset: number,
  digester: ResumableDigester,
): Promise<void> {
  const state = Buffer.from(digester.state()).toString("base64");
  const [boot, file] = await Promise.all([bootId(), identityOf(data)]);
  // Somebody else writes to the file: nothing that could be kept would be true.
  if (file.sizeBytes !== BigInt(offset)) return;
  const { device, inode, sizeBytes, modifiedNs, changedNs } = file;
  const saved: SavedHash = {
    schema: 1,
    boot,
    offset,
    state,
    file: {
      device: `${device}`,
      inode: `${inode}`,
      sizeBytes: `${sizeBytes}`,
      modifiedNs: `${modifiedNs}`,
      changedNs: `${changedNs}`,
    },
  };
  await writeFile(`${hashPath(folder)}.new`, JSON.stringify(saved));
  await rename(`${hashPath(folder)}.new`, hashPath(folder));
}

/** Forgets what was kept: before the file becomes another. */
export function forgetHash(folder: string): Promise<void> {
  return rm(hashPath(folder), { force: true });
}

/** The digester of a file's first bytes, as it was kept; undefined when it must not be trusted. */
export async function loadHash(
  folder: string,
  data: string,
): Promise<{ readonly digester: ResumableDigester; readonly offset: number } | undefined> {
  const saved = await readSaved(folder);
  if (saved === undefined || saved.boot !== (await bootId())) return undefined;
  const { device, inode, sizeBytes, modifiedNs, changedNs } = saved.file;
  const then: FileIdentity = {
    device: BigInt(device),
    inode: BigInt(inode),
    sizeBytes: BigInt(sizeBytes),
    modifiedNs: BigInt(modifiedNs),
    changedNs: BigInt(changedNs),
  };
  if (!isSameFile(then, await identityOf(data))) return undefined;
  const digester = resumeDigester(Buffer.from(saved.state, "base64"), saved.offset);
  return digester === undefined ? undefined : { digester, offset: saved.offset };
}

/**
 * Whether a file still begins with what it consisted of then: it is the same, and untouched; or has grown, by writes that came
 * soon after, as those of a writer do who died before it saved again.
 */
export function isSameFile(then: FileIdentity, now: FileIdentity): boolean {
  if (then.device !== now.device || then.inode !== now.inode) return false;
  if (now.sizeBytes === then.sizeBytes) return now.modifiedNs === then.modifiedNs && now.changedNs === then.changedNs;
  return (
    now.sizeBytes > then.sizeBytes &&
    isSoonAfter(then.modifiedNs, now.modifiedNs) &&
    isSoonAfter(then.changedNs, now.changedNs)
  );
}

function isSoonAfter(then: bigint, now: bigint): boolean {
  return now >= then && now - then <= writtenWithinNs;
}

function hashPath(folder: string): string {
  return join(folder, "hash");
}

async function readSaved(folder: string): Promise<SavedHash | undefined> {
  try {
    const saved = JSON.parse(await readFile(hashPath(folder), "utf8")) as SavedHash;
    return saved.schema === 1 ? saved : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    // A file that a power cut emptied.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

async function identityOf(path: string): Promise<FileIdentity> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return { device: dev, inode: ino, sizeBytes: size, modifiedNs: mtimeNs, changedNs: ctimeNs };
}
