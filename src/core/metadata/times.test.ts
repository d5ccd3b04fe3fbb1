import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCtx } from "../../lib/ctx.ts";
import { Instant } from "../../lib/instant.ts";
import { contentSchema } from "../content/index.ts";
import { createLeaseManager, leasesSchema } from "../leases/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { snapshotsSchema } from "../snapshots/index.ts";
import { openMetadata, type SchemaPart } from "./index.ts";

/** The rooms whose rows held milliseconds, as the version that did so knew them. */
const before: readonly SchemaPart[] = [
  namespacesSchema,
  { room: "content", migrations: contentSchema.migrations.slice(0, 2) },
  { room: "leases", migrations: leasesSchema.migrations.slice(0, 1) },
  { room: "snapshots", migrations: snapshotsSchema.migrations.slice(0, 2) },
];
const after: readonly SchemaPart[] = [namespacesSchema, contentSchema, leasesSchema, snapshotsSchema];

const earlierRows = `
  INSERT INTO leases (namespace, id, created_at_ms, labels) VALUES ('n', 'l', 1767323045678, '{}');
  INSERT INTO lease_resources (namespace, lease, type, id) VALUES ('n', 'l', 'content', 'sha256:x');
  INSERT INTO content_blobs (namespace, digest, size, created_at, updated_at, labels)
    VALUES ('n', 'sha256:x', 1, 1767323045678, 1767323045679, '{}');
  INSERT INTO snapshots (snapshotter, id, namespace, name, kind, labels, created_at, updated_at)
    VALUES ('overlayfs', 1, 'n', 's', 'active', '{}', 1767323045678, 0);`;

test("openMetadata() brings rows with milliseconds to nanoseconds, once, and loses none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-times-"));
  const path = join(folder, "meta.sqlite");
  try {
    {
      await using earlier = openMetadata({ path, schemas: before });
      await earlier.update(({ db }) => db.run(earlierRows));
    }
    for (const _ of ["the first start", "the next one"]) {
      await using metadata = openMetadata({ path, schemas: after });
      const times = (table: string): unknown =>
        metadata.read((db) =>
          db.query(`SELECT CAST(created_at AS TEXT) AS c, CAST(updated_at AS TEXT) AS u FROM ${table}`).all(),
        );
      expect(times("content_blobs")).toEqual([{ c: "1767323045678000000", u: "1767323045679000000" }]);
      expect(times("snapshots")).toEqual([{ c: "1767323045678000000", u: "0" }]);
      const leases = createLeaseManager({ metadata });
      const ctx = createCtx({ namespace: "n" });
      const createdAt = Instant.of({ seconds: 1_767_323_045, nanos: 678_000_000 });
      expect(leases.list(ctx, [])).toEqual([{ id: "l", createdAt, labels: new Map() }]);
      expect(leases.listResources(ctx, "l")).toEqual([{ type: "content", id: "sha256:x" }]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
