import { describe, expect, test } from "bun:test";
import path from "node:path";
import { importsOf, readSources } from "./source-files.ts";

/** The folders of src/daemon, each above those that it may import from. Its files at the top, which compose it, see all. */
const floors = ["config", "process", "listeners", "metrics", "tracing", "debug", "api", "upgrade", "commands", ""];

const room = "src/daemon/";

function floorOf(file: string): number {
  const [folder = "", ...rest] = file.slice(room.length).split("/");
  return floors.indexOf(rest.length === 0 ? "" : folder);
}

describe("src/daemon", () => {
  const files = readSources().filter((file) => file.path.startsWith(room));

  test("has a floor for each of its folders", () => {
    expect(files.filter(({ path: file }) => floorOf(file) < 0).map((file) => file.path)).toEqual([]);
    expect(files.length).toBeGreaterThan(40);
  });

  test("imports downwards only", () => {
    const upwards = files.flatMap(({ path: file, text }) =>
      importsOf(text)
        .filter((from) => from.startsWith("."))
        .map((from) => path.join(path.dirname(file), from))
        .filter((target) => target.startsWith(room) && floorOf(target) > floorOf(file))
        .map((target) => `${file} imports ${target}`),
    );
    expect(upwards).toEqual([]);
  });
});
