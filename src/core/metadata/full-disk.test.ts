import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isFault } from "../../lib/faults.ts";
import { openMetadata } from "./index.ts";

const isRoot = process.getuid?.() === 0;

describe("Metadata on a full disk", () => {
  test.skipIf(!isRoot)(
    `refuses with what to do, loses nothing, and goes on once there is room${isRoot ? "" : " [needs root]"}`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "lighter-full-"));
      expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]).exitCode).toBe(0);
      try {
        const path = join(folder, "meta.sqlite");
        const schemas = [{ room: "t", migrations: ["CREATE TABLE t (id INTEGER, filler BLOB)"] }];
        const kept: number[] = [];
        const ballast = join(folder, "ballast");
        {
          await using metadata = openMetadata({ path, schemas });
          const put = (id: number): Promise<unknown> =>
            metadata.update(({ db }) => db.query("INSERT INTO t VALUES (?, zeroblob(20000))").run(id));
          await put(0);
          kept.push(0);
          writeFileSync(ballast, new Uint8Array(1_500_000));
          let failure: unknown;
          for (let id = 1; failure === undefined && id < 200; id++) {
            await put(id).then(
              () => kept.push(id),
              (error: unknown) => {
                failure = error;
              },
            );
          }
          expect(isFault(failure, "resourceExhausted")).toBe(true);
          expect((failure as Error).message).toContain("make room on the disk");
          rmSync(ballast);
          await put(1000);
          kept.push(1000);
        }
        await using again = openMetadata({ path, schemas });
        const ids = again.read((db) =>
          db
            .query<{ id: number }, []>("SELECT id FROM t ORDER BY id")
            .all()
            .map((row) => row.id),
        );
        expect(ids).toEqual(kept);
      } finally {
        Bun.spawnSync(["umount", "-l", folder]);
        rmSync(folder, { recursive: true });
      }
    },
  );
});
