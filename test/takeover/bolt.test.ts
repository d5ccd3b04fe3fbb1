import { expect } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { openClient } from "../../src/client/client.ts";
import { fuzzBolt, type Plain, readAll } from "../../src/lib/bolt/testing.ts";
import { startContainerd, testNeeding } from "../support/index.ts";

testNeeding(
  ["root", "containerd", "ctr"],
  "a database of a real containerd: all of its records are read, and 1000 broken copies end in a clear error or in data",
  async () => {
    await using daemon = await startContainerd();
    using client = openClient({ address: daemon.address, namespace: daemon.namespace });
    const ids = Array.from({ length: 60 }, (_none, at) => `lease-${String(at).padStart(3, "0")}`);
    for (const id of ids) await client.leases.create({ id, labels: { purpose: `for ${id}` } });
    const value = Buffer.from(JSON.stringify({ padding: "z".repeat(50_000) }));
    const spec = { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value };
    await client.containers.create({ container: { id: "large", runtime: { name: "io.containerd.runc.v2" }, spec } });
    await daemon.stop();
    const original = join(daemon.root, "io.containerd.metadata.v1.bolt/meta.db");
    const copy = join(daemon.workspace.folder, "copy.db");
    copyFileSync(original, copy);
    const v1 = readAll(copy)["v1"] as Plain;
    const mine = v1[daemon.namespace] as { leases: Record<string, Plain>; containers: Record<string, Plain> };
    expect(Object.keys(mine.leases)).toEqual(ids);
    expect(mine.leases["lease-042"]?.["labels"]).toEqual({ purpose: "for lease-042" });
    expect(mine.containers["large"]?.["spec"]).toContain("z".repeat(50_000));
    fuzzBolt(copy, 1000);
  },
  240_000,
);
