import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { cleanMappings, releaseCleanPages } from "./residency.ts";

const entry = (range: string, permissions: string, inode: number, anonymousKb: number): string =>
  `${range} ${permissions} 00001000 fe:00 ${inode} ${inode === 0 ? "" : "/usr/bin/x"}\nSize: 8 kB\nAnonymous:  ${anonymousKb} kB\nVmFlags: rd\n`;

describe("cleanMappings", () => {
  test("takes text and read-only data, and leaves what is relocated, writable or no file's", () => {
    const smaps = [
      entry("1000-3000", "r-xp", 7, 0),
      entry("3000-4000", "r--p", 7, 0),
      entry("4000-5000", "r--p", 7, 4),
      entry("5000-6000", "rw-p", 7, 0),
      entry("6000-7000", "r-xp", 0, 0),
      entry("7000-8000", "r--s", 7, 0),
    ].join("");
    expect(cleanMappings(smaps)).toEqual([
      { start: 0x1000n, sizeBytes: 0x2000n },
      { start: 0x3000n, sizeBytes: 0x1000n },
    ]);
  });
});

describe("releaseCleanPages", () => {
  test("lowers the resident size and the process goes on", () => {
    const residentKb = (): number =>
      Number(/^Rss:\s+(\d+)/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))?.[1] ?? Number.NaN);
    const before = residentKb();
    releaseCleanPages();
    expect(residentKb()).toBeLessThan(before);
    expect(JSON.parse(JSON.stringify({ still: ["here"] }))).toEqual({ still: ["here"] });
  });
});
