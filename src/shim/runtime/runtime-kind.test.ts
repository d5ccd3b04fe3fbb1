import { describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
    const kinds = new RuntimeKinds({ run: async () => await (answers[asked++] ?? fail)() });
    expect(await kinds.of("crun")).toBe("other");
    expect(await kinds.of("crun")).toBe("crun");
    expect(await kinds.checksSpecVersion("crun")).toBe(true);
    expect(asked).toBe(2);
  });

  test.each([
    ["written over", (path: string) => writeFileSync(path, "another, and longer")],
    [
      "renamed over",
      (path: string) => {
        writeFileSync(`${path}.new`, "a runtime");
        renameSync(`${path}.new`, path);
      },
    ],
  ])("asks again when the program was %s", async (_how, replace) => {
    using folder = temporaryFolder();
    const binary = join(folder.path, "runtime");
    writeFileSync(binary, "a runtime");
    let output = "crun version 1.8.1\n";
    let asked = 0;
    const run = async (): Promise<SpawnResult> => {
      asked += 1;
      return { exitStatus: 0, output };
    };
    const kinds = new RuntimeKinds({ run });
    for (const _ of [1, 2]) expect([await kinds.of(binary), asked]).toEqual(["crun", 1]);
    output = "runc version 1.1.5\n";
    replace(binary);
    for (const _ of [1, 2]) expect([await kinds.of(binary), asked]).toEqual(["runc", 2]);
    expect(await kinds.checksSpecVersion(binary)).toBe(false);
  });

  test("remembers a program that is gone, and asks what comes in its place", async () => {
    using folder = temporaryFolder();
    const binary = join(folder.path, "runtime");
    writeFileSync(binary, "a runtime");
    const answers = [async () => answer, async () => ({ exitStatus: 0, output: "runc version 1.1.5\n" })];
    let asked = 0;
    const kinds = new RuntimeKinds({ run: async () => await (answers[asked++] ?? fail)() });
    expect(await kinds.of(binary)).toBe("crun");
    rmSync(binary);
    for (const _ of [1, 2]) expect([await kinds.of(binary), asked]).toEqual(["crun", 1]);
    writeFileSync(binary, "another runtime");
    for (const _ of [1, 2]) expect([await kinds.of(binary), asked]).toEqual(["runc", 2]);
  });
});

function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "lighter-kinds-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

const fail = (): never => {
  throw new Error("asked too often");
};
