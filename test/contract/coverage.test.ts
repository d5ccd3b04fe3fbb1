import { describe, expect, test } from "bun:test";
import { daemonPlugins, listRpcs } from "../../src/daemon/index.ts";
import { createWorkspace } from "../support/index.ts";
import { newerScenarios } from "./cases/newer.ts";
import { recordedScenarios } from "./cases/recorded.ts";
import { scenarios } from "./scenarios.ts";

describe("the contract suite", () => {
  test("calls every method of containerd's that the daemon serves", async () => {
    await using workspace = await createWorkspace();
    const rpcs = await listRpcs(daemonPlugins, workspace.folder);
    const served = rpcs
      .map(({ service, method }) => `${service}/${method}`)
      .filter((name) => !name.startsWith("lighter."));
    expect(served.length).toBeGreaterThan(80);
    const all = [...scenarios, ...newerScenarios, ...recordedScenarios.map(({ scenario }) => scenario)];
    const called = new Set(all.flatMap(({ steps }) => steps.map((step) => step.path.slice(1))));
    expect(served.filter((name) => !called.has(name))).toEqual([]);
  });
});
