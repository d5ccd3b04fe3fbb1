import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMetadata, type SchemaPart } from "./index.ts";

const pairs: SchemaPart = {
  room: "pairs",
  migrations: ["CREATE TABLE halves (pair INTEGER, half TEXT, PRIMARY KEY (pair, half)) STRICT"],
};

/** Writes pairs for ever, eight at a time, and tells of each one that was promised; dies where it is told to. */
const writer = `
import { openMetadata } from ${JSON.stringify(join(import.meta.dir, "index.ts"))};
const [path, dieAt] = process.argv.slice(1);
const metadata = openMetadata({ path, schemas: [${JSON.stringify(pairs)}] });
const put = (pair) => metadata.update(({ db, afterCommit }) => {
  db.query("INSERT INTO halves VALUES (?, 'left')").run(pair);
  if (String(pair) === dieAt) process.kill(process.pid, "SIGKILL");
  db.query("INSERT INTO halves VALUES (?, 'right')").run(pair);
});
const from = metadata.read((db) => db.query("SELECT coalesce(max(pair), -1) + 1 AS n FROM halves").get().n);
for (let pair = from; ; pair += 8) {
  await Promise.all(Array.from({ length: 8 }, (_, index) => put(pair + index).then(() => process.stdout.write(pair + index + "\\n"))));
}
`;

function run(path: string, ...args: readonly string[]): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  return Bun.spawn([process.execPath, "-e", writer, path, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

/** What a dead writer had promised: whole lines only. */
function promised(output: string): number[] {
  return output.split("\n").slice(0, -1).map(Number);
}

async function check(path: string, promises: readonly number[]): Promise<number> {
  await using metadata = openMetadata({ path, schemas: [pairs] });
  const count = (where: string): number =>
    metadata.read((db) => db.query<{ n: number }, []>(`SELECT count(*) AS n FROM halves ${where}`).get()?.n ?? -1);
  const [left, right] = [count("WHERE half = 'left'"), count("WHERE half = 'right'")];
  expect(left).toBe(right);
  for (const pair of promises) expect(count(`WHERE pair = ${pair}`)).toBe(2);
  const integrity = metadata.read((db) => db.query("PRAGMA integrity_check").get());
  expect(integrity).toEqual({ integrity_check: "ok" });
  return left;
}

describe("Metadata after kill -9", () => {
  test("between two statements of a mutation: nothing of its transaction, everything that was promised", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lighter-crash-"));
    const path = join(folder, "meta.sqlite");
    for (const dieAt of ["3", "16", "45"]) {
      const child = run(path, dieAt);
      const output = await new Response(child.stdout).text();
      await child.exited;
      expect(child.signalCode).toBe("SIGKILL");
      expect(await check(path, promised(output))).toBeLessThanOrEqual(Number(dieAt));
    }
    rmSync(folder, { recursive: true });
  });

  test("at any moment, again and again: halves stay together and no promise is broken", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lighter-crash-"));
    const path = join(folder, "meta.sqlite");
    let before = 0;
    for (let round = 0; round < 6; round++) {
      const child = run(path);
      const chunks: string[] = [];
      const decoder = new TextDecoder();
      for await (const chunk of child.stdout) {
        chunks.push(decoder.decode(chunk));
        if (chunks.length > 3 + round * 7) child.kill("SIGKILL");
      }
      await child.exited;
      const promises = promised(chunks.join(""));
      expect(promises.length).toBeGreaterThan(0);
      const now = await check(path, promises);
      expect(now).toBeGreaterThan(before);
      before = now;
    }
    rmSync(folder, { recursive: true });
  });
});
