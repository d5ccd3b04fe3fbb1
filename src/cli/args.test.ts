import { describe, expect, test } from "bun:test";
import { parseArgs } from "./args.ts";

const options = [
  { long: "interactive", short: "i", help: "" },
  { long: "tty", short: "t", help: "" },
  { long: "env", short: "e", value: "NAME", many: true, help: "" },
  { long: "net", value: "none|host", choices: ["none", "host"], help: "" },
];

describe("parseArgs", () => {
  test("reads switches in one word and values in every spelling", () => {
    const args = parseArgs(["-it", "-e", "A=1", "-eB=2", "--env", "C=3", "--env=D=4", "x"], { options });
    expect(args.flag("interactive") && args.flag("tty")).toBe(true);
    expect(args.list("env")).toEqual(["A=1", "B=2", "C=3", "D=4"]);
    expect(args.positional).toEqual(["x"]);
  });

  test("leaves what follows the first word to the container", () => {
    const args = parseArgs(["-t", "box", "sh", "-i"], { options, stopAtWord: true });
    expect(args.positional).toEqual(["box", "sh", "-i"]);
    expect(args.flag("interactive")).toBe(false);
    expect(parseArgs(["box", "--", "ls"], { options, stopAtWord: true }).positional).toEqual(["box", "ls"]);
  });

  test("switches off with =false", () => {
    expect(parseArgs(["--tty=false"], { options }).flag("tty")).toBe(false);
  });

  test.each([
    [["--tyt"], "unknown option --tyt"],
    [["-z"], "unknown option -z"],
    [["--env"], "option --env needs a value"],
    [["--net", "bridge"], 'option --net takes none, host; not "bridge"'],
    [["--tty=maybe"], "option --tty is a switch and takes no value but true or false"],
  ])("refuses %p", (words, text) => {
    expect(() => parseArgs(words, { options })).toThrow(text);
  });
});
