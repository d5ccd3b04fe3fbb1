import { describe, expect, test } from "bun:test";
import { type Column, cut, tableLines } from "./table.ts";

interface Row {
  readonly id: string;
  readonly command: string;
  readonly pid: string;
}

const columns: readonly Column<Row>[] = [
  { title: "ID", value: ({ id }) => id },
  { title: "COMMAND", value: ({ command }) => command, shrink: true, spare: 2 },
  { title: "PID", value: ({ pid }) => pid, align: "right", spare: 1 },
];
const rows: readonly Row[] = [{ id: "container-1", command: "sleep 1000 and a good deal more", pid: "4711" }];
const lines = (width: number): string[] => tableLines(columns, rows, { width, color: false });

describe("tableLines on a narrow terminal", () => {
  test("cuts what may be cut, then leaves out what can be spared, then cuts anything", () => {
    expect(lines(0)[1]).toBe("container-1  sleep 1000 and a good deal more  4711");
    expect(lines(32)[1]).toBe("container-1  sleep 1000 a…  4711");
    expect(lines(20)).toEqual(["ID            PID", "container-1  4711"]);
    expect(lines(12)).toEqual(["ID", "container-1"]);
    expect(lines(6)).toEqual(["ID", "conta…"]);
  });

  test("never makes a line longer than was allowed", () => {
    for (let width = 6; width < 60; width++)
      for (const line of lines(width)) expect(line.length).toBeLessThanOrEqual(width);
  });
});

test("cut counts columns, not letters", () => {
  expect(cut("日本語の名前", 7)).toBe("日本語…");
});
