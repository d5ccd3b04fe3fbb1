import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RuntimeKinds } from "./runtime-kind.ts";
import type { Spawner } from "./spawner.ts";
import { specForCreate, specForRestore, takeSpecBack } from "./spec-version.ts";

const asked = '{"ociVersion":"1.2.1","limit":18446744073709551615}';
const lowered = '{"ociVersion":"1.0.2","limit":18446744073709551615}';

let bundle: string;
beforeEach(() => {
  bundle = mkdtempSync(join(tmpdir(), "lighter-spec-"));
  writeFileSync(join(bundle, "config.json"), asked);
});
afterEach(() => rmSync(bundle, { recursive: true }));

const config = (): string => readFileSync(join(bundle, "config.json"), "utf8");
function kindsOf(version: string): RuntimeKinds {
  const spawner: Pick<Spawner, "run"> = { run: async () => ({ exitStatus: 0, output: `crun version ${version}\n` }) };
  return new RuntimeKinds(spawner);
}

describe("specForCreate", () => {
  test("names another spec beside the bundle's own for as long as it is read", async () => {
    {
      using spec = await specForCreate(kindsOf("1.8.1"), "crun", { bundle, ociVersion: "1.2.1" });
      expect(readFileSync(spec.config ?? "", "utf8")).toBe(lowered);
      expect(config()).toBe(asked);
    }
    expect(readdirSync(bundle)).toEqual(["config.json"]);
  });

  test.each([
    ["1.8.1", "1.0.2"],
    ["1.8.1", ""],
    ["1.28", "1.2.1"],
  ])("reads nothing for crun %s and a spec of version %j", async (version, ociVersion) => {
    using spec = await specForCreate(kindsOf(version), "crun", { bundle: "/nowhere", ociVersion });
    expect(spec.config).toBeUndefined();
  });
});

describe("specForRestore", () => {
  test("gives a runtime a spec that it takes, and the client its own back", async () => {
    {
      using _spec = await specForRestore(kindsOf("1.8.1"), "crun", bundle);
      expect(config()).toBe(lowered);
    }
    expect(config()).toBe(asked);
    expect(readdirSync(bundle)).toEqual(["config.json"]);
  });

  test("goes on from wherever an earlier host died", async () => {
    // Between the link and the rename both names are the client's own.
    linkSync(join(bundle, "config.json"), join(bundle, "config.asked.json"));
    writeFileSync(join(bundle, "config.lowered.json"), lowered);
    using _spec = await specForRestore(kindsOf("1.8.1"), "crun", bundle);
    expect(config()).toBe(lowered);
  });
});

describe("takeSpecBack", () => {
  test("leaves nothing beside the spec when both names are one file", () => {
    linkSync(join(bundle, "config.json"), join(bundle, "config.asked.json"));
    writeFileSync(join(bundle, "config.lowered.json"), lowered);
    takeSpecBack(bundle);
    expect(config()).toBe(asked);
    expect(readdirSync(bundle)).toEqual(["config.json"]);
  });

  test("leaves nothing beside the spec when it had stepped aside", () => {
    writeFileSync(join(bundle, "config.asked.json"), asked);
    writeFileSync(join(bundle, "config.json"), lowered);
    takeSpecBack(bundle);
    expect(config()).toBe(asked);
    expect(readdirSync(bundle)).toEqual(["config.json"]);
  });
});
