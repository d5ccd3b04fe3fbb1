import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeOldRoot } from "../../src/core/takeover/testing.ts";
import { createWorkspace, type RunResult, run, testNeeding, type Workspace } from "../support/index.ts";

const program = resolve(import.meta.dir, "../../bin/lighterd");
/** More than are written at once, so that a death in between leaves some. */
const leases = 1500;

const takeover = ({ folder }: Workspace, args: readonly string[], armed = ""): Promise<RunResult> =>
  run([program, "takeover", "--root", join(folder, "root"), "--state", join(folder, "state"), ...args], {
    env: { LIGHTER_FAILPOINT_FILE: armed },
  });

const folderOf = ({ folder }: Workspace): string => join(folder, "root/io.containerd.metadata.v1.bolt");

const steps = ["planned", "marked", "first rows", "imported", "set aside", "described", "done"];

test.each(steps)(
  "lighterd takeover killed after %p leaves all or nothing, and the next one does the rest",
  async (step) => {
    await using workspace = await createWorkspace();
    writeOldRoot(join(workspace.folder, "root"), { leases });
    const before = readFileSync(join(folderOf(workspace), "meta.db"));
    const armed = join(workspace.folder, "armed");
    writeFileSync(armed, step);
    expect((await takeover(workspace, ["--json"], armed)).code).not.toBe(0);
    expect(existsSync(armed)).toBe(false);
    expect(existsSync(join(folderOf(workspace), "meta.sqlite"))).toBe(step === "done");
    const again = await takeover(workspace, ["--json"]);
    expect(again.stderr).not.toContain("error");
    const report = JSON.parse(again.stdout);
    if (step === "done") expect(report).toBeNull();
    else expect(report.namespaces[0]).toMatchObject({ namespace: "default", leases: leases + 1, snapshots: 2 });
    expect(readdirSync(folderOf(workspace)).toSorted()).toEqual(["meta.db", "meta.sqlite", "takeover.json"]);
    expect(readFileSync(join(folderOf(workspace), "meta.db"))).toEqual(before);
  },
  240_000,
);

testNeeding(
  ["lighterd"],
  "lighterd takeover --dry-run prints a table, and changes nothing",
  async () => {
    await using workspace = await createWorkspace();
    writeOldRoot(join(workspace.folder, "root"));
    const dry = await takeover(workspace, ["--dry-run"]);
    expect(dry.stdout).toContain("This would come over from containerd:");
    expect(dry.stdout).toMatch(/NAMESPACE +IMAGES +CONTAINERS/);
    expect(dry.stdout).toContain("No shim runs");
    expect(JSON.parse((await takeover(workspace, ["--dry-run", "--json"])).stdout).namespaces).toHaveLength(2);
    expect(readdirSync(folderOf(workspace))).toEqual(["meta.db"]);
    expect(existsSync(join(workspace.folder, "state"))).toBe(false);
  },
  240_000,
);

test("lighterd takeover says that there is nothing to take over", async () => {
  await using workspace = await createWorkspace();
  const result = await takeover(workspace, ["--dry-run"]);
  const daemon = await run([program, "--root", join(workspace.folder, "root"), "--dry-run"]);
  expect(daemon).toEqual(result);
  expect((await run([program, "--takeover", "--no-takeover"])).stderr).toContain("exclude each other");
  expect(result.code).toBe(1);
  expect(result.stderr).toContain("there is nothing to take over");
});
