import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../lib/digest.ts";
import { openSha256 } from "../../sys/index.ts";
import { catchUp, dataPath, type Ingest, keepHash, loadIngest } from "./ingest-files.ts";
import { createIngestDigester, worthKeepingBytes } from "./resumable-digester.ts";
import { type FileIdentity, forgetHash, isSameFile, isSaveDue, loadHash } from "./saved-hash.ts";

const known = openSha256() === undefined ? describe.skip : describe;
const size = worthKeepingBytes + 5;

interface Bed extends Disposable {
  readonly folder: string;
  readonly bytes: Uint8Array;
  readonly ingest: Ingest;
}

/** An ingest whose writer has kept its hash, as one that closed does. */
async function bed(): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), "lighter-saved-hash-"));
  const bytes = crypto.getRandomValues(Buffer.alloc(65_536)).toString("base64").repeat(200).slice(0, size);
  const data = Buffer.from(bytes);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of [
    ["ref", "ns/1/r"],
    ["startedat", new Date().toISOString()],
    ["updatedat", new Date().toISOString()],
    ["total", String(size)],
  ]) {
    writeFileSync(join(folder, name ?? ""), text ?? "");
  }
  writeFileSync(dataPath(folder), data);
  const ingest = (await loadIngest(folder, "ns/1/r")) as Ingest;
  ingest.digester = createIngestDigester(size);
  ingest.digester.update(data);
  await keepHash(ingest, true);
  return { folder, bytes: data, ingest, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** What a later daemon takes from it: how many bytes it need not read. */
async function trusted({ folder }: Bed): Promise<number> {
  return (await loadHash(folder, dataPath(folder)))?.offset ?? 0;
}

async function caughtUp({ folder }: Bed): Promise<string | undefined> {
  const ingest = (await loadIngest(folder, "ns/1/r")) as Ingest;
  await catchUp(ingest, new AbortController().signal);
  return ingest.digester?.digest();
}

known("a hash that was kept", () => {
  test("is gone on with, and what came after it is read", async () => {
    using one = await bed();
    expect(await trusted(one)).toBe(size);
    expect(await caughtUp(one)).toBe(digestOf(one.bytes));
    await appendFile(dataPath(one.folder), "more");
    expect(await trusted(one)).toBe(size);
    expect(await caughtUp(one)).toBe(digestOf(Buffer.concat([one.bytes, Buffer.from("more")])));
  });

  test("is not trusted once the file is another", async () => {
    using one = await bed();
    const changed = Buffer.from(one.bytes);
    changed[0] = (changed[0] ?? 0) ^ 1;
    writeFileSync(dataPath(one.folder), changed);
    expect(await trusted(one)).toBe(0);
    expect(await caughtUp(one)).toBe(digestOf(changed));
  });

  test("is not trusted of a file that is shorter", async () => {
    using one = await bed();
    truncateSync(dataPath(one.folder), size - 1);
    expect(await trusted(one)).toBe(0);
    expect(await caughtUp(one)).toBe(digestOf(one.bytes.subarray(0, -1)));
  });

  test("counts for this boot of the machine alone", async () => {
    using one = await bed();
    const saved = JSON.parse(readFileSync(join(one.folder, "hash"), "utf8"));
    writeFileSync(join(one.folder, "hash"), JSON.stringify({ ...saved, boot: "another" }));
    expect(await trusted(one)).toBe(0);
  });

  test.each([
    ["a half of it", (text: string) => text.slice(0, 40)],
    ["nothing", () => ""],
    ["another form", (text: string) => text.replace('"schema":1', '"schema":2')],
    ["the state of another length", (text: string) => text.replace(`"offset":${size}`, `"offset":${size - 1}`)],
    ["no state", (text: string) => text.replace(/"state":"[^"]*"/, '"state":"AAAA"')],
  ])("is not trusted where there is %s", async (_name, change) => {
    using one = await bed();
    writeFileSync(join(one.folder, "hash"), change(readFileSync(join(one.folder, "hash"), "utf8")));
    expect(await trusted(one)).toBe(0);
    expect(await caughtUp(one)).toBe(digestOf(one.bytes));
  });

  test("is forgotten with what it was of", async () => {
    using one = await bed();
    await forgetHash(one.folder);
    expect(await trusted(one)).toBe(0);
  });

  test("is not kept of a file that somebody else writes to", async () => {
    using one = await bed();
    await forgetHash(one.folder);
    await appendFile(dataPath(one.folder), "x");
    one.ingest.kept.offset = 0;
    await keepHash(one.ingest, true);
    expect(await trusted(one)).toBe(0);
  });
});

test("a small write's hash is not kept, nor one of nobody knows how much", () => {
  const isKept = (total: number): boolean => "state" in createIngestDigester(total);
  expect([isKept(0), isKept(worthKeepingBytes - 1)]).toEqual([false, false]);
});

test("a hash is kept every 64 MiB, or every second, when there is more to keep", () => {
  const kept = { offset: 100, atMs: 1000 };
  expect(isSaveDue(kept, 100, 9000)).toBe(false);
  expect(isSaveDue(kept, 101, 1999)).toBe(false);
  expect(isSaveDue(kept, 101, 2000)).toBe(true);
  expect(isSaveDue(kept, 100 + (64 << 20), 1001)).toBe(true);
});

describe("isSameFile", () => {
  const then: FileIdentity = { device: 1n, inode: 2n, sizeBytes: 10n, modifiedNs: 100n, changedNs: 100n };
  const second = 1_000_000_000n;
  test.each<[string, Partial<FileIdentity>, boolean]>([
    ["untouched", {}, true],
    ["on another device", { device: 9n }, false],
    ["another file", { inode: 9n }, false],
    ["written to in place", { modifiedNs: 101n, changedNs: 101n }, false],
    ["written to, its time set back", { changedNs: 101n }, false],
    ["grown a moment later", { sizeBytes: 11n, modifiedNs: 100n + second, changedNs: 100n + second }, true],
    ["grown, and touched much later", { sizeBytes: 11n, modifiedNs: 100n, changedNs: 101n + 5n * second }, false],
    ["grown much later", { sizeBytes: 11n, modifiedNs: 101n + 5n * second, changedNs: 101n + 5n * second }, false],
    ["grown in the past", { sizeBytes: 11n, modifiedNs: 99n, changedNs: 100n }, false],
    ["shorter", { sizeBytes: 9n }, false],
  ])("%s", (_name, change, want) => {
    expect(isSameFile(then, { ...then, ...change })).toBe(want);
  });
});
