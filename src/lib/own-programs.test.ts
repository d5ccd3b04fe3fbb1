import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownProgram } from "./own-programs.ts";

const names = ["lighterd", "lighter", "containerd-shim-lighter-v2"];

test("a checkout's programs are where they are said to be", () => {
  for (const name of names) {
    const { command, env } = ownProgram(name);
    expect([command.length, existsSync(command[0] ?? ""), env]).toEqual([1, true, {}]);
  }
});

test("a compiled program goes by its own name where that is there, and else by a variable", () => {
  const folder = mkdtempSync(join(tmpdir(), "lp-"));
  using stack = new DisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const place = { source: "/$bunfs/root", executable: join(folder, "lighter") };
  expect(ownProgram("lighterd", place)).toEqual({
    command: [place.executable],
    env: { LIGHTER_PROGRAM: "lighterd" },
  });
  writeFileSync(join(folder, "lighterd"), "");
  expect(ownProgram("lighterd", place)).toEqual({ command: [join(folder, "lighterd")], env: {} });
});
