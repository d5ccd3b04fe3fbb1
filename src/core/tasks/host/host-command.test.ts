import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { hostCommand, publishCommand } from "./host-command.ts";

test("a checkout's programs are where they are said to be", () => {
  for (const program of [hostCommand().command[0] ?? "", publishCommand()])
    expect([program, existsSync(program)]).toEqual([program, true]);
});
