import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FaultError, notFound } from "../../lib/faults.ts";
import { type Metadata, openMetadata, type SchemaPart, type Transaction } from "./index.ts";

const things: SchemaPart = {
  room: "things",
  migrations: ["CREATE TABLE things (name TEXT PRIMARY KEY, value BLOB) STRICT"],
};

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-metadata-"));
  path = join(folder, "meta.sqlite");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(schemas: readonly SchemaPart[] = [things]): Metadata {
  return openMetadata({ path, schemas });
}

function put(name: string, value = ""): (tx: Transaction) => string {
  return ({ db }) => {
    db.query("INSERT INTO things (name, value) VALUES (?, ?)").run(name, Buffer.from(value));
    return name;
  };
}

function names(metadata: Metadata): string[] {
  return metadata.read((db) =>
    db
      .query<{ name: string }, []>("SELECT name FROM things ORDER BY name")
      .all()
      .map((row) => row.name),
  );
}

function failureOf(action: () => unknown): FaultError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(FaultError);
    return error as FaultError;
  }
  throw new Error("it did not fail");
}

async function rejectionOf(promise: Promise<unknown>): Promise<Error> {
  const reason: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(reason).toBeInstanceOf(Error);
  return reason as Error;
}

describe("Metadata.update", () => {
  test("settles with the action's value, and what it wrote is there after a reopening", async () => {
    {
      await using metadata = open();
      expect(await metadata.update(put("a"))).toBe("a");
      expect(names(metadata)).toEqual(["a"]);
    }
    await using again = open();
    expect(names(again)).toEqual(["a"]);
  });

  test("rolls back a failing mutation alone among those that commit together", async () => {
    await using metadata = open();
    const failing = metadata.update((tx) => {
      put("lost")(tx);
      throw notFound("nothing");
    });
    const results = await Promise.allSettled([metadata.update(put("a")), failing, metadata.update(put("b"))]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(names(metadata)).toEqual(["a", "b"]);
    expect((await rejectionOf(failing)).message).toBe("nothing: not found");
  });

  test("commits what arrives in one turn as one transaction, in order", async () => {
    await using metadata = open();
    const seen: number[] = [];
    const commits = Array.from({ length: 20 }, (_, index) =>
      metadata.update(({ db, afterCommit }) => {
        db.query("INSERT INTO things (name) VALUES (?)").run(`n${index}`);
        afterCommit(() => seen.push(index));
        return db.query<{ n: number }, []>("SELECT count(*) AS n FROM things").get()?.n;
      }),
    );
    expect(await Promise.all(commits)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  test("runs actions after the commit and before the promise settles, not after a failure", async () => {
    await using metadata = open();
    const log: string[] = [];
    const good = metadata.update(({ afterCommit }) => {
      afterCommit(() => log.push("event"));
    });
    const bad = metadata.update(({ afterCommit }) => {
      afterCommit(() => log.push("never"));
      throw new Error("no");
    });
    await good.then(() => log.push("settled"));
    expect((await rejectionOf(bad)).message).toBe("no");
    expect(log).toEqual(["event", "settled"]);
  });

  test("a failing after-commit action is logged and harms nobody", async () => {
    await using metadata = open();
    const after = metadata.update(({ afterCommit }) => {
      afterCommit(() => {
        throw new Error("listener broke");
      });
      return "done";
    });
    expect(await after).toBe("done");
  });

  test("refuses an asynchronous mutation and keeps nothing of it", async () => {
    await using metadata = open();
    const wrong = metadata.update(async (tx) => {
      put("a")(tx);
      await Promise.resolve();
    });
    expect((await rejectionOf(wrong)).message).toContain("must not be asynchronous");
    expect(names(metadata)).toEqual([]);
  });

  test("disposing commits what waits and refuses what comes later", async () => {
    const metadata = open();
    const waiting = metadata.update(put("a"));
    await metadata[Symbol.asyncDispose]();
    expect(await waiting).toBe("a");
    expect((await rejectionOf(metadata.update(put("b")))).message).toMatch(/is closed: unavailable$/);
    await using again = open();
    expect(names(again)).toEqual(["a"]);
  });

  test("a full file refuses with what to do, and takes commits again once there is room", async () => {
    await using metadata = open();
    metadata.read((db) => db.run("PRAGMA max_page_count = 20"));
    const big = "x".repeat(100_000);
    const results = await Promise.allSettled([metadata.update(put("big", big)), metadata.update(put("big2", big))]);
    const failed = results
      .filter((result) => result.status === "rejected")
      .map((result) => result.reason as FaultError);
    expect(failed[0]?.kind).toBe("resourceExhausted");
    expect(failed[0]?.message).toContain(`metadata database "${path}": database or disk is full`);
    expect(failed[0]?.message).toContain("make room on the disk");
    metadata.read((db) => db.run("PRAGMA max_page_count = 100000"));
    expect(await metadata.update(put("later", big))).toBe("later");
  });
});

describe("openMetadata", () => {
  const second: SchemaPart = { room: "others", migrations: ["CREATE TABLE others (id INTEGER)"] };

  test("runs each room's migrations once, and new ones on what is there", async () => {
    {
      await using metadata = open();
      await metadata.update(put("a"));
    }
    const grown = {
      room: "things",
      migrations: [...things.migrations, "ALTER TABLE things ADD COLUMN extra TEXT DEFAULT 'x'"],
    };
    await using metadata = open([grown, second]);
    const row = metadata.read((db) => db.query("SELECT name, extra FROM things").get());
    expect(row).toEqual({ name: "a", extra: "x" });
  });

  test("refuses a newer schema and leaves the file as it was", async () => {
    {
      await using metadata = open([
        { room: "things", migrations: [...things.migrations, "CREATE TABLE more (id INTEGER)"] },
      ]);
      await metadata.update(put("a"));
    }
    const failure = failureOf(() => open());
    expect(failure.kind).toBe("failedPrecondition");
    expect(failure.message).toContain(
      `open metadata database "${path}": "things" has schema 2 and this lighter knows up to 1`,
    );
  });

  test("a migration that fails changes nothing", () => {
    const broken = { room: "broken", migrations: ["CREATE TABLE fine (id INTEGER)", "CREATE NONSENSE"] };
    expect(failureOf(() => open([things, broken])).message).toContain('migration "broken 2": ');
    const db = new Database(path);
    expect(db.query("SELECT name FROM sqlite_master WHERE type = 'table'").all()).toEqual([]);
    db.close();
  });

  test("names a damaged file and says what to do", async () => {
    {
      await using metadata = open();
      await metadata.update(put("a", "x".repeat(50_000)));
    }
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.concat([Buffer.alloc(4096, 0x5a), bytes.subarray(4096)]));
    const failure = failureOf(() => open());
    expect(failure.kind).toBe("dataLoss");
    expect(failure.message).toContain(`open metadata database "${path}": file is not a database`);
    expect(failure.message).toContain("restore it from a backup");
  });

  test("a page damaged inside shows as data loss to its reader", async () => {
    {
      await using metadata = open();
      for (let index = 0; index < 400; index++) void metadata.update(put(`name-${index}`, "x".repeat(200)));
      await metadata.update(put("last"));
    }
    const bytes = readFileSync(path);
    bytes.fill(0xff, 4096 * 4);
    writeFileSync(path, bytes);
    await using metadata = open();
    const failure = failureOf(() => metadata.read((db) => db.query("SELECT * FROM things").all()));
    expect(failure.kind).toBe("dataLoss");
    expect(failure.message).toContain(`read metadata database "${path}"`);
  });

  test("leaves another program's database alone", () => {
    const db = new Database(path);
    db.run("CREATE TABLE theirs (id INTEGER)");
    db.close();
    expect(failureOf(() => open()).message).toContain("it is not a lighter metadata database");
  });

  test("refuses a file that another process has open", async () => {
    const script = `
      import { openMetadata } from ${JSON.stringify(join(import.meta.dir, "index.ts"))};
      await using metadata = openMetadata({ path: ${JSON.stringify(path)}, schemas: [] });
      process.stdout.write("open");
      await Bun.stdin.text();`;
    const holder = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
    const reader = holder.stdout.getReader();
    await reader.read();
    const failure = failureOf(() => open());
    expect(failure.kind).toBe("unavailable");
    expect(failure.message).toContain("another process holds it");
    await holder.stdin.end();
    await holder.exited;
  });

  test("says that the folder is missing", () => {
    const failure = failureOf(() => openMetadata({ path: join(folder, "none", "meta.sqlite"), schemas: [] }));
    expect(failure.message).toContain("check that its folder exists");
  });
});
