import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import path from "node:path";

const top = path.resolve(import.meta.dir, "../..");

/** Parts of the runtime that cost a start some milliseconds and half a megabyte or more each, and are needed later if at all. */
const heavy = [
  "node:crypto",
  "node:http",
  "node:http2",
  "node:https",
  "node:net",
  "node:stream",
  "node:tls",
  "node:zlib",
];

const transpiler = new Bun.Transpiler({ loader: "ts" });

/** What a program has loaded by the time that it runs, with who asked for it. */
function loadedBy(entry: string): ReadonlyMap<string, string> {
  const asked = new Map<string, string>();
  const left = [path.join(top, entry)];
  const seen = new Set(left);
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    for (const { kind, path: name } of transpiler.scanImports(readFileSync(file, "utf8"))) {
      if (kind !== "import-statement") continue;
      if (!name.startsWith(".")) {
        asked.set(name, path.relative(top, file));
        continue;
      }
      const next = path.resolve(path.dirname(file), name);
      if (seen.has(next) || !next.endsWith(".ts")) continue;
      seen.add(next);
      left.push(next);
    }
  }
  expect(seen.size).toBeGreaterThan(50);
  return asked;
}

test.each(["bin/lighterd.ts", "src/shim/index.ts", "src/cli/commands/run.ts"])(
  "%s starts without the large parts of the runtime",
  (entry) => {
    const asked = loadedBy(entry);
    expect(heavy.filter((name) => asked.has(name)).map((name) => `${name} by ${asked.get(name)}`)).toEqual([]);
  },
);
