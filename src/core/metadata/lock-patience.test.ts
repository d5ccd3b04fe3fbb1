import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failureText } from "../../lib/fault-testing.ts";
import { createLogger, silentLogger } from "../../lib/log.ts";
import { openMetadataPatiently } from "./index.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lm-"));
  path = join(folder, "meta.sqlite");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Another connection that holds the file, as another process would. */
function holder(): Disposable {
  const db = new Database(path);
  db.run("BEGIN EXCLUSIVE");
  return { [Symbol.dispose]: () => db.close() };
}

describe("a metadata database that somebody else holds", () => {
  test("is waited for, with a word of it, and the loop goes on meanwhile", async () => {
    const log: string[] = [];
    const logger = createLogger({ level: "warn", format: "text", write: (line) => void log.push(line) });
    const held = holder();
    const opening = openMetadataPatiently({ path, schemas: [] }, { limitMs: 0, log: logger });
    for (let n = 0; log.length === 0 && n < 6_000; n++) await Bun.sleep(5);
    expect(log).toEqual([expect.stringContaining("which another process holds")]);
    held[Symbol.dispose]();
    await using metadata = await opening;
    expect(metadata.waiting).toBe(0);
  }, 60_000);

  test("is an error when it is not free in time, or the daemon is told to stop", async () => {
    using _held = holder();
    const opened = (limitMs: number, stop?: AbortSignal) =>
      failureText(() => openMetadataPatiently({ path, schemas: [] }, { limitMs, stop, log: silentLogger }));
    expect(await opened(60)).toContain("another process holds it");
    const stop = new AbortController();
    const stopped = opened(0, stop.signal);
    await Bun.sleep(60);
    stop.abort();
    expect(await stopped).toContain("the daemon stops");
  });
});
