import { describe, expect, test } from "bun:test";
import { findCircles } from "./circles.ts";
import { readSources } from "./source-files.ts";

describe("findCircles", () => {
  test("finds none in the house", () => {
    expect(findCircles(readSources())).toEqual([]);
  });

  test("names rooms that lean on each other, over others too, and through types", () => {
    const circles = findCircles([
      { path: "src/core/a/x.ts", text: `import type { B } from "../b/index.ts";` },
      { path: "src/core/b/x.ts", text: `export { c } from "../c/index.ts";` },
      { path: "src/core/c/x.ts", text: `import { a } from "../a/index.ts";\nimport { d } from "../d/index.ts";` },
      { path: "src/core/d/x.ts", text: `import { d } from "./y.ts";` },
    ]);
    expect(circles).toEqual([["a", "b", "c"]]);
  });

  test("lets composition and tests see everything", () => {
    const back = `import { a } from "../a/index.ts";`;
    const files = ["plugin.ts", "testing.ts", "x.test.ts"].map((name) => ({ path: `src/core/b/${name}`, text: back }));
    expect(findCircles([{ path: "src/core/a/x.ts", text: `import "../b/index.ts";` }, ...files])).toEqual([]);
  });
});
