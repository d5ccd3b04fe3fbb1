import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupRecord } from "../state/records.ts";
import { thaw } from "./freezer.ts";

const versions: readonly (readonly [string, string, string, (folder: string) => CgroupRecord])[] = [
  ["v1", "freezer.state", "THAWED", (folder) => ({ version: 1, paths: { freezer: folder } })],
  ["v2", "cgroup.freeze", "0", (path) => ({ version: 2, path })],
];

describe.each(versions)("thaw on cgroup %s", (_version, file, value, recordOf) => {
  test("lets a cgroup go on", () => {
    const folder = mkdtempSync("/tmp/lighter-freezer-");
    try {
      writeFileSync(join(folder, file), "");
      thaw(recordOf(folder));
      expect(readFileSync(join(folder, file), "utf8")).toBe(value);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("does nothing to one that is gone, as a runtime's that ends the container meanwhile", () => {
    expect(() => thaw(recordOf("/tmp/lighter-freezer-gone"))).not.toThrow();
  });
});
