import { describe, expect, test } from "bun:test";
import { readSources } from "./source-files.ts";

const warnLines = 400;
const failLines = 600;

/** Files that may be longer, each with its reason. */
const reasoned: Readonly<Record<string, string>> = {};

const lineCount = (text: string): number => text.split("\n").length - 1;

describe("file sizes", () => {
  test(`no file has more than ${failLines} lines without a reason`, () => {
    const files = readSources().map((file) => ({ path: file.path, lines: lineCount(file.text) }));
    const warned = files.filter((file) => file.lines > warnLines && file.lines <= failLines);
    for (const file of warned) console.warn(`warning: ${file.path} has ${file.lines} lines (aim: ${warnLines})`);
    expect(files.filter((file) => file.lines > failLines && !(file.path in reasoned))).toEqual([]);
  });

  test("no reason outlives its file's length", () => {
    const long = new Set(readSources().flatMap((file) => (lineCount(file.text) > failLines ? [file.path] : [])));
    expect(Object.keys(reasoned).filter((path) => !long.has(path))).toEqual([]);
  });
});
