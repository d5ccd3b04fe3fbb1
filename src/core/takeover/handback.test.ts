import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBolt } from "../../lib/bolt/index.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { oldHandbackRecord } from "./handback-records.ts";
import { type CurrentStore, compareForHandback, datedRecord, type HandbackRecord } from "./index.ts";
import { readRecords } from "./old-records.ts";
import { missingBlob, oldBlob, writeOldRoot } from "./testing.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-handback-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What lighter has right after the takeover: what containerd has, but for what stayed behind. */
function taken(): HandbackRecord[] {
  using file = openBolt(join(folder, "io.containerd.metadata.v1.bolt/meta.db"));
  return [...readRecords(file.root)]
    .map(oldHandbackRecord)
    .filter((record) => record !== undefined)
    .filter(({ kind, name }) => kind !== "namespace" && name !== missingBlob && name !== "devmapper/thin");
}

/** Compares with a store that has these records in one namespace, and nothing in the other. */
async function compare(records: readonly HandbackRecord[], pids: readonly number[] = []): Promise<readonly string[]> {
  const current: CurrentStore = {
    namespaces: async () => [
      { name: "default", labels: { team: "harbour" } },
      { name: "moby", labels: {} },
    ],
    records: async (namespace) => (namespace === "default" ? records : []),
    tasks: async (namespace) => (namespace === "default" ? pids.map((pid) => ({ id: `t${pid}`, pid })) : []),
  };
  const { items } = await compareForHandback({ root: folder, snapshotterRoots: new Map() }, current);
  return items.map(({ state, kind, namespace, name }) => `${state} ${kind} ${namespace}/${name}`);
}

describe("compareForHandback", () => {
  test("finds no difference where there is none, but for bytes that containerd itself missed", async () => {
    writeOldRoot(folder);
    expect(await compare(taken())).toEqual([`missing blob default/${missingBlob}`]);
  });

  test("tells what was made, changed and deleted, what lost its bytes, and what runs elsewhere", async () => {
    writeOldRoot(folder);
    const before = taken();
    rmSync(join(folder, "io.containerd.snapshotter.v1.overlayfs/snapshots/2"), { recursive: true });
    const kept = before.filter(({ kind, name }) => kind !== "lease" && name !== "overlayfs/work");
    const now = kept.map((record) => (record.name === oldBlob ? { ...record, mark: "other" } : record));
    const made = datedRecord("image", "new", { labels: {} });
    expect(await compare([...now, made], [77])).toEqual([
      `older blob default/${oldBlob}`,
      `missing blob default/${missingBlob}`,
      "unseen image default/new",
      "returns lease default/held",
      "missing snapshot default/overlayfs/work",
      "lost task default/t77",
    ]);
  });

  test("says that no containerd was ever there", async () => {
    expect(await failureText(() => compare([]))).toMatch(/notFound: no containerd ever served/);
  });
});
