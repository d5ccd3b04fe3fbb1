import { describe, expect, test } from "bun:test";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { daemonPlugins, listRpcs } from "../../src/daemon/index.ts";
import { newerScenarios } from "./cases/newer.ts";
import { recordedScenarios } from "./cases/recorded.ts";
import { scenarios } from "./scenarios.ts";

describe("the contract suite", () => {
  test("calls every method of containerd's that the daemon serves", async () => {
    const scratch = await fs.mkdtemp(path.join(os.tmpdir(), "lighter-rpcs-"));
    const rpcs = await listRpcs(daemonPlugins, scratch).finally(() => fs.rm(scratch, { recursive: true }));
    const served = rpcs
      .map(({ service, method }) => `${service}/${method}`)
      .filter((name) => !name.startsWith("lighter."));
    expect(served.length).toBeGreaterThan(80);
    const all = [...scenarios, ...newerScenarios, ...recordedScenarios.map(({ scenario }) => scenario)];
    const called = new Set(all.flatMap(({ steps }) => steps.map((step) => step.path.slice(1))));
    expect(served.filter((name) => !called.has(name))).toEqual([]);
  });
});
