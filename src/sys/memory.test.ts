import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { elfSection, unchangedMappings } from "./memory.ts";

const mapping = (range: string, access: string, name: string, anonymousKb: number): string =>
  `${range} ${access} 00000000 fe:00 1234                       ${name}
Size:               8192 kB
Rss:                1024 kB
Private_Dirty:      ${String(anonymousKb)} kB
Anonymous:          ${String(anonymousKb)} kB
VmFlags: rd mr mw me
`;

test("unchangedMappings leaves out what was relocated, what can be written, and other files", () => {
  const smaps = [
    mapping("00200000-01000000", "r--p", "/usr/bin/bun", 0),
    mapping("01000000-05000000", "r-xp", "/usr/bin/bun", 0),
    mapping("05000000-05100000", "r--p", "/usr/bin/bun", 400),
    mapping("05100000-05200000", "rw-p", "/usr/bin/bun", 0),
    mapping("7f0000000000-7f0000100000", "r-xp", "/usr/lib/libc.so.6", 0),
    mapping("7f0000200000-7f0000300000", "r--s", "/usr/bin/bun", 0),
    mapping("7f0000400000-7f0000500000", "r-xp", "", 0),
  ].join("");
  expect(unchangedMappings(smaps, "/usr/bin/bun")).toEqual([
    [0x200000n, 0x1000000n],
    [0x1000000n, 0x5000000n],
  ]);
});

test("elfSection finds a section of an executable by its name, and none in what is no executable", () => {
  const program = readFileSync(process.execPath);
  const read = (at: number, count: number): Uint8Array<ArrayBuffer> =>
    Uint8Array.from(program.subarray(at, at + count));
  const interpreter = elfSection(read, ".interp");
  if (interpreter === undefined) throw new Error("an executable has an interpreter");
  const at = Number(interpreter.at);
  expect(program.subarray(at, at + Number(interpreter.size)).toString()).toMatch(/^\/lib.*ld-.*\0$/);
  expect(elfSection(read, ".interpreter")).toBeUndefined();
  expect(elfSection((_, count) => new Uint8Array(count), ".interp")).toBeUndefined();
});
