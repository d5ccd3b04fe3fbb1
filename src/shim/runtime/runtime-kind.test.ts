import { describe, expect, test } from "bun:test";
import { RuntimeKinds, readVersion } from "./runtime-kind.ts";
import type { SpawnResult } from "./spawner.ts";

describe("readVersion", () => {
  test.each([
    ["crun version 0.14\n", "/x/crun", "crun", true],
    ["crun version 1.8.1\ncommit: f8a096be\n", "crun", "crun", true],
    ["crun version 1.14\n", "crun", "crun", true],
    ["crun version 1.14.2\n", "other", "crun", true],
    ["crun version 1.14.3\n", "crun", "crun", false],
    ["crun version 1.15\n", "crun", "crun", false],
    ["crun version 1.28\n", "crun", "crun", false],
    ["crun version 2.0.0\n", "crun", "crun", false],
    ["runc version 1.1.5+ds1\n", "runc", "runc", false],
    ["youki version 0.1\n", "youki", "other", false],
    ["", "runc", "other", false],
  ])("of %j from %s", (output, binary, kind, checksSpecVersion) => {
    expect(readVersion(output, binary)).toEqual({ kind: kind as "runc", checksSpecVersion });
  });
});

describe("RuntimeKinds", () => {
  const answer = { exitStatus: 0, output: "crun version 1.8.1\n" };
  test.each<[string, () => Promise<SpawnResult>]>([
    ["could not be started", () => Promise.reject(new Error("EAGAIN"))],
    ["failed", async () => ({ exitStatus: 126, output: "" })],
  ])("asks a runtime again whose first --version %s, and no more once it has answered", async (_how, first) => {
    const answers = [first, async () => answer];
    let asked = 0;
    const kinds = new RuntimeKinds({ inFlight: 0, run: async () => await (answers[asked++] ?? fail)() });
    expect(await kinds.of("crun")).toBe("other");
    expect(await kinds.of("crun")).toBe("crun");
    expect(await kinds.checksSpecVersion("crun")).toBe(true);
    expect(asked).toBe(2);
  });
});

const fail = (): never => {
  throw new Error("asked too often");
};
