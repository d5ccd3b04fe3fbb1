import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKernel } from "../../sys/index.ts";
import { lacksProgram, programOf } from "./missing-program.ts";

const root = mkdtempSync(join(tmpdir(), "lighter-program-"));
afterAll(() => rmSync(root, { recursive: true }));
for (const folder of ["usr/bin", "app", "out"]) mkdirSync(join(root, folder), { recursive: true });
symlinkSync("/usr/bin", join(root, "bin"));
writeFileSync(join(root, "usr/bin/tool"), "", { mode: 0o700 });
writeFileSync(join(root, "app/local"), "", { mode: 0o701 });
writeFileSync(join(root, "app/text"), "", { mode: 0o666 });
symlinkSync("../../app/text", join(root, "usr/bin/text"));
symlinkSync("/nowhere", join(root, "usr/bin/dangling"));

describe("lacksProgram", () => {
  const kernel = createKernel();
  test.each<[args: readonly string[], lacks: boolean | undefined, env?: readonly string[], mounts?: readonly string[]]>(
    [
      [["tool"], false],
      [["nosuch"], true],
      [["dangling"], true],
      [["/bin/tool"], false],
      [["/bin/nosuch"], true],
      [["/bin/tool/deeper"], true],
      [["/../../bin/tool"], false],
      [["./local"], false],
      [["./nosuch"], true],
      [["local"], true],
      [["nosuch"], false, ["PATH=/bin"], ["/bin"]],
      [["/out/nosuch"], false, ["PATH=/bin"], ["/proc", "/out"]],
      [["/outer/nosuch"], true, ["PATH=/bin"], ["/out"]],
      [["nosuch"], false, ["PATH=/bin"], ["/"]],
      [["tool"], false, ["PATH=/none", "PATH=/none:/bin"]],
      [["/app/text"], true],
      [["text"], true],
      [["./text"], true],
      [["/app"], true],
      [["app"], true, ["PATH=/"]],
      [["text"], false, ["PATH=/sbin:/bin"], ["/app", "/bin"]],
      [["nosuch"], true, []],
      [["nosuch"], true, ["PATH="]],
      [["tool"], false, []],
      [["tool"], false, ["PATH="]],
      [["local"], false, ["PATH="]],
      [["nosuch"], true, ["PATH=/bin:."]],
      [["local"], false, ["PATH=/bin:."]],
      [["local"], false, ["PATH=/bin:"]],
      [["local"], false, ["PATH=../app"]],
      [["tool"], false, ["PATH=../bin"]],
      [["tool"], true, ["PATH=bin"]],
      [[], undefined],
      [[""], undefined],
    ],
  )("of %j is %p with %j and mounts %j", (args, lacks, env = ["A=b", "PATH=/sbin:/bin"], mounts = []) => {
    const program = programOf({ args, env, cwd: "/app" }, mounts);
    expect(program === undefined ? undefined : lacksProgram(kernel, root, program)).toBe(lacks as boolean);
  });

  test("is false where there is no root to look into", () => {
    const program = programOf({ args: ["nosuch"], env: ["PATH=/bin"], cwd: "/" });
    expect(lacksProgram(kernel, join(root, "none"), program!)).toBe(false);
  });

  test.each([undefined, null, 1, {}, { args: "sh", env: [] }, { args: ["sh"], env: "PATH=/bin" }])(
    "programOf(%j) is nobody's to judge",
    (process) => {
      expect(programOf(process)).toBeUndefined();
    },
  );
});
