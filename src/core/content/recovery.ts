import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Digest, digestProblem } from "../../lib/digest.ts";
import type { Metadata } from "../metadata/index.ts";
import { type ContentLayout, isMissing, relativeIngest, sizeOf } from "./blob-files.ts";
import { dataPath, type Ingest, intentPath, loadIngest } from "./ingest-files.ts";
import { allIngests, deleteIngest, type IngestRow, isNeeded, putRemoval } from "./store.ts";

export interface RecoveryOptions {
  readonly layout: ContentLayout;
  readonly metadata: Metadata;
}

/**
 * Brings files and rows together again, whenever the last daemon ended: takes back commits that moved the bytes and did not
 * come to their transaction, and reads back the unfinished writes. Removals that are noted go on later, in the background.
 * Shape: ingests by backend ref. Effects: removes only what this daemon made or was told to remove.
 */
export async function recoverContent(options: RecoveryOptions): Promise<Map<string, Ingest>> {
  const { layout } = options;
  await mkdir(join(layout.root, "blobs", "sha256"), { recursive: true });
  await mkdir(join(layout.root, "ingest"), { recursive: true });
  const ingests = new Map<string, Ingest>();
  const known = new Set<string>();
  const empty: IngestRow[] = [];
  for (const row of options.metadata.read(allIngests)) {
    const folder = layout.ingest(row.backend_ref);
    known.add(basename(folder));
    await takeBackCommit(options, folder);
    const ingest = await loadIngest(folder, row.backend_ref);
    if (ingest !== undefined) ingests.set(row.backend_ref, ingest);
    else if (row.expected === null) empty.push(row);
  }
  await forgetEmpty(options, empty);
  await removeCommitted(options, known);
  return ingests;
}

/** Writes of which nothing came to the disk that could be gone on with: their next writer begins anew in any case. */
async function forgetEmpty({ metadata }: RecoveryOptions, rows: readonly IngestRow[]): Promise<void> {
  if (rows.length === 0) return;
  await metadata.update((tx) => {
    for (const { namespace, ref, backend_ref } of rows) {
      deleteIngest(tx, namespace, ref);
      putRemoval(tx, relativeIngest(backend_ref));
    }
  });
}

/** The bytes of a write whose row is still there go back to it, so that its client resumes with nothing sent twice. */
async function takeBackCommit({ layout, metadata }: RecoveryOptions, folder: string): Promise<void> {
  const digest = await commitIntent(folder);
  if (digest === undefined) return;
  const blob = layout.blob(digest);
  const moved = (await sizeOf(dataPath(folder))) === undefined;
  if (moved && !metadata.read((db) => isNeeded(db, digest)) && (await sizeOf(blob)) !== undefined) {
    await rename(blob, dataPath(folder));
  }
  await rm(intentPath(folder), { force: true });
}

/** Folders of writes that became blobs, and whose row went with that. */
async function removeCommitted({ layout }: RecoveryOptions, known: ReadonlySet<string>): Promise<void> {
  const root = join(layout.root, "ingest");
  for (const name of await readdir(root)) {
    if (known.has(name)) continue;
    const folder = join(root, name);
    if ((await commitIntent(folder)) !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

async function commitIntent(folder: string): Promise<Digest | undefined> {
  try {
    const text = await readFile(intentPath(folder), "utf8");
    return digestProblem(text) === undefined ? (text as Digest) : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
