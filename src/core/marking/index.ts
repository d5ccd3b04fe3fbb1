import { constants, Database } from "bun:sqlite";
import { writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { FaultError, quote } from "../../lib/faults.ts";
import { serveJob } from "../../workers/index.ts";
import { collectableContainers } from "../containers/index.ts";
import { contentRows } from "../content/index.ts";
import {
  type CollectableRows,
  findDead,
  Marking,
  type MarkLine,
  ReferenceGraph,
  type ReportOptions,
  type ResourceCollector,
  tellLiving,
} from "../gc/index.ts";
import { imageRows } from "../images/index.ts";
import { collectableLeases } from "../leases/index.ts";
import { mountRows } from "../mounts/index.ts";
import { collectableSandboxes } from "../sandbox/index.ts";
import { snapshotRows } from "../snapshots/index.ts";

const standardOutput = 1;

await serveJob<"mark">(({ path, nowMs, kinds, referenceLabels }) => {
  const start = performance.now();
  // The file stays as it is: no lock is taken and no log looked for, neither of which another process could share.
  const url = `${pathToFileURL(path).href}?immutable=1`;
  const db = new Database(url, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI);
  const tables = tablesOf(kinds, nowMs);
  const reader = { read: <T>(action: (of: Database) => T): T => action(db) };
  const graph = new ReferenceGraph({ metadata: reader, tables, collectors: referenceLabels.map(absent), nowMs });
  const marking = new Marking(graph, reader);
  for (const _step of marking.steps());
  const report: ReportOptions = { db, tables, graph, marking, extraKinds: referenceLabels.map(([, kind]) => kind) };
  const dead = findDead(report);
  for (const line of tellLiving(report)) tell(line);
  db.close();
  tell({ marked: { alive: marking.count, elapsedMs: performance.now() - start } });
  for (const line of dead) tell(line);
  return {};
});

function tablesOf(kinds: readonly string[], nowMs: number): readonly CollectableRows[] {
  const known: readonly CollectableRows[] = [
    collectableLeases,
    collectableContainers,
    collectableSandboxes,
    imageRows,
    snapshotRows,
    ...contentRows(nowMs),
    mountRows,
  ];
  return kinds.map((kind) => {
    const table = known.find((one) => one.kind === kind);
    if (table === undefined) throw new FaultError("invalidArgument", `no rows of kind ${quote(kind)}`);
    return table;
  });
}

/** Objects that only the daemon knows; here they are but names that labels may hold. */
function absent([referenceLabel, kind]: readonly [string, string]): ResourceCollector {
  return { kind, referenceLabel, all: () => [], active: () => [], leased: () => [], remove: () => {} };
}

/** Waits while the daemon does not read. */
function tell(line: MarkLine): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(standardOutput, bytes, at);
}
