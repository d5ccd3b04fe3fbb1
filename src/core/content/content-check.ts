import { opendir } from "node:fs/promises";
import { basename, join } from "node:path";
import { algorithmOf, createDigester, type Digest, digestProblem } from "../../lib/digest.ts";
import type { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Metadata } from "../metadata/index.ts";
import type { CheckCounts, CheckOptions, Problem } from "../system/index.ts";
import { type ContentLayout, isMissing, relativeBlob, relativeIngest, sizeOf } from "./blob-files.ts";
import { digestFile } from "./ingest-files.ts";
import { allIngests, blobsAfter, findBlob, hasRemoval, type IngestRow, isNeeded } from "./store.ts";

export interface ContentCheckOptions {
  readonly layout: ContentLayout;
  readonly metadata: Metadata;
  readonly mutex: KeyedMutex;
  /** True while somebody writes that ingest, or its folder is on its way. */
  readonly isWritten: (backendRef: string) => boolean;
}

const pageRows = 32;

/** Compares rows and files. What changes meanwhile is looked at twice before it is told. */
export async function checkContent(options: ContentCheckOptions, check: CheckOptions): Promise<CheckCounts> {
  const blobs = await checkRows(options, check);
  await checkFiles(options, check);
  const ingests = await checkIngests(options, check);
  return { blobs, ingests };
}

async function checkRows(options: ContentCheckOptions, check: CheckOptions): Promise<number> {
  const { metadata } = options;
  let count = 0;
  let last = { namespace: "", digest: "" };
  for (;;) {
    check.signal.throwIfAborted();
    const { namespace, digest } = last;
    const page = metadata.read((db) => blobsAfter(db, namespace, digest, pageRows));
    for (const row of page) {
      const problem = await blobProblem(options, check, row.namespace, row.digest as Digest);
      if (problem !== undefined) check.report(problem);
    }
    count += page.length;
    const end = page.at(-1);
    if (end === undefined) return count;
    last = end;
  }
}

async function blobProblem(
  { layout, metadata }: ContentCheckOptions,
  check: CheckOptions,
  namespace: string,
  digest: Digest,
): Promise<Problem | undefined> {
  const path = layout.blob(digest);
  const found = await sizeOf(path);
  const info = metadata.read((db) => findBlob(db, namespace, digest));
  if (info === undefined) return undefined;
  const about = { broken: true, node: { kind: "content", namespace, key: digest }, path } as const;
  if (found === undefined) return { ...about, code: "missing-blob", message: `the file of ${digest} is not there` };
  if (found !== info.sizeBytes) {
    return { ...about, code: "blob-size", message: `${digest} has ${found} bytes, and should have ${info.sizeBytes}` };
  }
  if (!check.deep) return undefined;
  const digester = createDigester(algorithmOf(digest));
  try {
    await digestFile(path, digester, check.signal);
  } catch (error) {
    // It went meanwhile, and its row before it.
    if (isMissing(error)) return undefined;
    throw error;
  }
  if (digester.digest() === digest) return undefined;
  return { ...about, code: "blob-digest", message: `the bytes of ${digest} are those of ${digester.digest()}` };
}

async function checkFiles({ layout, metadata, mutex }: ContentCheckOptions, check: CheckOptions): Promise<void> {
  for (const algorithm of ["sha256", "sha384", "sha512"]) {
    for await (const name of namesIn(join(layout.root, "blobs", algorithm))) {
      check.signal.throwIfAborted();
      const digest = `${algorithm}:${name}` as Digest;
      const path = join(layout.root, "blobs", algorithm, name);
      const known = digestProblem(digest) === undefined;
      // One that is being committed or removed is held; one that is noted for removal goes by itself.
      if (known && (mutex.holds(digest) || metadata.read((db) => isNeeded(db, digest)))) continue;
      if (known && metadata.read((db) => hasRemoval(db, relativeBlob(digest)))) continue;
      if ((await sizeOf(path)) === undefined) continue;
      check.report({ code: "orphan-blob", broken: false, path, message: `no namespace has the blob ${name}` });
    }
  }
}

async function checkIngests(
  { layout, metadata, isWritten }: ContentCheckOptions,
  check: CheckOptions,
): Promise<number> {
  const rows = new Map<string, IngestRow>();
  for (const row of metadata.read(allIngests)) rows.set(basename(layout.ingest(row.backend_ref)), row);
  const there = new Set<string>();
  for await (const name of namesIn(join(layout.root, "ingest"))) {
    there.add(name);
    if (rows.has(name)) continue;
    const now = metadata.read(allIngests).some((row) => basename(layout.ingest(row.backend_ref)) === name);
    if (now || metadata.read((db) => hasRemoval(db, join("ingest", name)))) continue;
    const path = join(layout.root, "ingest", name);
    if (!(await exists(path))) continue;
    check.report({
      code: "orphan-ingest",
      broken: false,
      path,
      message: `no unfinished write owns the folder ${name}`,
    });
  }
  for (const [name, { namespace, ref, backend_ref, expected }] of rows) {
    if (there.has(name) || expected !== null || isWritten(backend_ref)) continue;
    const path = join(layout.root, relativeIngest(backend_ref));
    const still = metadata.read(allIngests).some((row) => row.backend_ref === backend_ref);
    if (!still || (await exists(path))) continue;
    const node = { kind: "ingest", namespace, key: ref };
    check.report({ code: "missing-ingest", broken: false, node, path, message: `the write ${ref} has no bytes yet` });
  }
  return rows.size;
}

async function* namesIn(folder: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(folder, { bufferSize: 64 })) yield entry.name;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== undefined;
}
