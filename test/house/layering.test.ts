import { describe, expect, test } from "bun:test";
import { findViolations } from "./layering.ts";
import { countSources, importsOf, readSources } from "./source-files.ts";

const violations = (path: string, text: string): readonly string[] => findViolations([{ path, text }]);

describe("layering", () => {
  test("reads every file that exists", () => {
    const files = readSources();
    expect(files.length).toBeGreaterThan(50);
    expect(files.length).toBe(countSources());
  });

  test("holds in every file", () => {
    expect(findViolations(readSources())).toEqual([]);
  });
});

describe("importsOf", () => {
  test("sees values, types, exports, bare and dynamic imports, over several lines", () => {
    const text = `import a from "./a.ts";
import type { B } from "./b.ts";
import {
  c,
  type D,
} from "./c.ts";
export * from "./d.ts";
export type { E } from "./e.ts";
import "./f.ts";
const g = await import("./g.ts");
// import h from "./h.ts";
/* import i from "./i.ts"; */`;
    expect(importsOf(text)).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts", "./g.ts"]);
  });
});

describe("findViolations", () => {
  test("refuses an import upwards, of a type too", () => {
    expect(violations("src/lib/a.ts", `import type { X } from "../core/tasks/index.ts";`)).toHaveLength(1);
    expect(violations("src/core/tasks/a.ts", `import { x } from "../../shim/index.ts";`)).toHaveLength(1);
    expect(violations("src/core/tasks/a.ts", `import { x } from "../../lib/ctx.ts";`)).toEqual([]);
  });

  test("refuses a way past a room's door", () => {
    expect(violations("src/core/tasks/a.ts", `import { x } from "../leases/store.ts";`)).toHaveLength(1);
    expect(violations("src/core/tasks/a.ts", `import { x } from "../leases/index.ts";`)).toEqual([]);
    expect(violations("bin/lighterd.ts", `import { x } from "../src/core/leases/store.ts";`)).toHaveLength(1);
  });

  test("refuses bun:ffi outside the fence, in tests too", () => {
    expect(violations("src/core/tasks/a.test.ts", `import { dlopen } from "bun:ffi";`)).toHaveLength(1);
    expect(violations("src/sys/a.ts", `import { dlopen } from "bun:ffi";`)).toEqual([]);
  });

  test("lets tests use what stands above them and other rooms' testing.ts", () => {
    expect(violations("src/core/tasks/a.test.ts", `import { x } from "../../client/index.ts";`)).toEqual([]);
    expect(violations("src/core/tasks/a.test.ts", `import { x } from "../leases/testing.ts";`)).toEqual([]);
    expect(violations("src/core/tasks/a.ts", `import { x } from "../leases/testing.ts";`)).toHaveLength(1);
  });
});
