import type { Database } from "bun:sqlite";
import { stat } from "node:fs/promises";
import type { Metadata } from "../metadata/index.ts";
import type { CheckCounts, CheckOptions, Problem } from "../system/index.ts";
import type { SnapshotDriver } from "./driver.ts";
import type { SnapshotFolders } from "./folders.ts";
import { type ChainRow, chainRowsAfter, findChainRow } from "./store.ts";

export interface SnapshotsCheckOptions {
  readonly driver: SnapshotDriver;
  readonly metadata: Metadata;
  readonly folders: SnapshotFolders;
}

const pageRows = 32;

/** Compares a snapshotter's rows with each other and with its folders. */
export async function checkSnapshots(options: SnapshotsCheckOptions, check: CheckOptions): Promise<CheckCounts> {
  const { driver, metadata, folders } = options;
  let snapshots = 0;
  for (let last = 0; ; ) {
    check.signal.throwIfAborted();
    const page = metadata.read((db) => chainRowsAfter(db, driver.name, last, pageRows));
    for (const row of page) await checkRow(options, check, row);
    snapshots += page.length;
    const end = page.at(-1);
    if (end === undefined) break;
    last = end.id;
  }
  for (const id of await folders.orphans()) {
    const path = `${driver.folder}/${id}`;
    check.report({ code: "orphan-folder", broken: false, path, message: `no snapshot owns the folder ${id}` });
  }
  return { snapshots };
}

async function checkRow(
  { driver, metadata }: SnapshotsCheckOptions,
  check: CheckOptions,
  row: ChainRow,
): Promise<void> {
  const node = { kind: "snapshot", namespace: row.namespace, key: `${driver.name}/${row.name}` };
  const path = `${driver.folder}/${row.id}`;
  const about = { broken: true, node, path } as const;
  const chain = metadata.read((db) => chainProblem(db, driver.name, row.id));
  if (chain !== undefined) check.report({ ...about, ...chain });
  const missing = await missingFolder(driver, row);
  if (missing === undefined || metadata.read((db) => findChainRow(db, driver.name, row.id)) === undefined) return;
  check.report({ ...about, code: "missing-folder", message: `the folder ${missing} of ${row.name} is not there` });
}

function chainProblem(db: Database, snapshotter: string, id: number): Pick<Problem, "code" | "message"> | undefined {
  const row = findChainRow(db, snapshotter, id);
  if (row === undefined || row.parent === null) return undefined;
  const parent = findChainRow(db, snapshotter, row.parent);
  if (parent === undefined) return { code: "missing-parent", message: `the parent of ${row.name} is not there` };
  if (parent.kind === "committed") return undefined;
  return { code: "uncommitted-parent", message: `the parent of ${row.name}, ${parent.name}, is not committed` };
}

/** A view of a parent may be its parent's own folder. */
async function missingFolder(driver: SnapshotDriver, row: ChainRow): Promise<string | undefined> {
  for (const path of driver.foldersOf({ id: row.id, kind: row.kind, hasParent: row.parent !== null })) {
    try {
      await stat(path);
    } catch {
      // Whatever the reason, it cannot be used.
      return path;
    }
  }
  return undefined;
}
