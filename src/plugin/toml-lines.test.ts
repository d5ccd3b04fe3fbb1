import { describe, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { pathKey, tomlLines } from "./toml-lines.ts";

const document = `# a comment with = and [brackets]
version = 2
"quoted.key" = 'it''s' # not TOML, but harmless
title = "a # no comment"

[plugins]
  [plugins."io.containerd.x.v1.y"] # trailing
    list = [
      "one", # first
      "two",
      { a = 1, b.c = [1, 2] },
    ]
    text = """
[not.a.table]
key = "no key"
"""
    raw = '''
also = 1'''
    a.b.c = true

[[servers]]
name = "first"
[servers.tls]
on = true
[[servers]]
name = "second"
  [[servers.ports]]
  n = 1
`;

describe("tomlLines", () => {
  const lines = tomlLines(document.replace("'it''s'", "'its'"));
  const check = (path: readonly (string | number)[], want: number | undefined): void => {
    expect(lines.get(pathKey(path))).toBe(want);
  };
  test("the sample is TOML", () => {
    expect(() => parse(document.replace("'it''s'", "'its'"))).not.toThrow();
  });
  test("finds top keys, quoted keys and tables", () => {
    check(["version"], 2);
    check(["quoted.key"], 3);
    check(["title"], 4);
    check(["plugins"], 6);
    check(["plugins", "io.containerd.x.v1.y"], 7);
  });
  test("finds list items and what is in inline tables", () => {
    check(["plugins", "io.containerd.x.v1.y", "list", 1], 10);
    check(["plugins", "io.containerd.x.v1.y", "list", 2, "b", "c", 1], 11);
  });
  test("is not misled by strings over several lines", () => {
    check(["not", "a", "table"], undefined);
    check(["plugins", "io.containerd.x.v1.y", "key"], undefined);
    check(["plugins", "io.containerd.x.v1.y", "raw"], 17);
    check(["plugins", "io.containerd.x.v1.y", "a", "b", "c"], 19);
  });
  test("counts lists of tables, tables below them included", () => {
    check(["servers", 0, "tls", "on"], 24);
    check(["servers", 1, "name"], 26);
    check(["servers", 1, "ports", 0, "n"], 28);
  });
  test("ends on broken documents", () => {
    for (const broken of ["= = =", "[", "[[a", 'k = """', "a = [1, {", '"\\', "a.b.", "]}]}"]) tomlLines(broken);
  });
});
