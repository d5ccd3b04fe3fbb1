import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { daemonPlugins } from "../../src/daemon/index.ts";
import { defaultConfig, encodeTop, isLiveTimeout, isTable, type PluginDefinition } from "../../src/plugin/index.ts";

interface Row {
  readonly default: string;
  readonly live: string;
}

/** The tables of a document, by the heading above them. */
function tablesOf(document: string): ReadonlyMap<string, ReadonlyMap<string, Row>> {
  const tables = new Map<string, Map<string, Row>>();
  let heading = "";
  for (const line of document.split("\n")) {
    heading = /^## `?([^`]*)`?$/.exec(line)?.[1] ?? heading;
    const row = /^\| `([^`]+)` \| (.+?) \| (yes|no) \|/.exec(line);
    if (row === null) continue;
    const rows = tables.get(heading) ?? new Map<string, Row>();
    rows.set(row[1] ?? "", { default: row[2] ?? "", live: row[3] ?? "" });
    tables.set(heading, rows);
  }
  return tables;
}

/** Every key that a plugin takes, also those that are written only where they are set. */
function keysOf(plugin: PluginDefinition): readonly string[] {
  let known: readonly string[] = [];
  const report = { unknown: (_path: unknown, keys: readonly string[]) => void (known = keys), invalid: () => {} };
  plugin.config.decode({ "no such key": 1 }, [], report);
  return known;
}

/** Defaults that are told in words: they are the process's, or more than a value. */
const inWords: ReadonlySet<string> = new Set(["uid", "gid", "mode", "unpack_config"]);

const document = readFileSync(join(import.meta.dir, "../../docs/configuration.md"), "utf8");
const tables = tablesOf(document);

describe("docs/configuration.md", () => {
  test("has every key of every plugin, with its default and whether it is live, and no other", () => {
    for (const plugin of daemonPlugins) {
      const keys = keysOf(plugin);
      if (keys.length === 0) continue;
      const rows = tables.get(plugin.uri) ?? new Map<string, Row>();
      expect([plugin.uri, [...rows.keys()].toSorted()]).toEqual([plugin.uri, keys.toSorted()]);
      const encoded = plugin.config.encode(
        plugin.config.decode(undefined, [], { unknown: () => {}, invalid: () => {} }),
      );
      const defaults = isTable(encoded) ? encoded : {};
      for (const [key, row] of rows) {
        expect([plugin.uri, key, row.live]).toEqual([plugin.uri, key, plugin.live.includes(key) ? "yes" : "no"]);
        if (!inWords.has(key))
          expect([plugin.uri, key, row.default]).toEqual([plugin.uri, key, `\`${JSON.stringify(defaults[key])}\``]);
      }
    }
  });

  test("has every key of the top", () => {
    const rows = tables.get("Keys at the top") ?? new Map<string, Row>();
    const keys = Object.entries(encodeTop(defaultConfig().top)).flatMap(([key, value]) =>
      key === "debug" || key === "cgroup" ? Object.keys(value as object).map((name) => `${key}.${name}`) : [key],
    );
    expect([...rows.keys(), "plugins"].toSorted()).toEqual(keys.toSorted());
  });

  test("has every limit of [timeouts], with its default and whether it is live", () => {
    const rows = [...(tables.get("Timeouts") ?? [])].filter(([key]) => key !== "cri.defercleanup");
    const limits = encodeTop(defaultConfig().top).timeouts as Readonly<Record<string, string>>;
    const told = Object.entries(limits).map(([key, value]) => [
      key.replace("io.containerd.timeout.", ""),
      { default: `\`"${value}"\``, live: isLiveTimeout(key) ? "yes" : "no" },
    ]);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(told));
  });

  test("names no plugin that is not there", () => {
    const uris = new Set(daemonPlugins.map((plugin) => plugin.uri));
    const headings = [...tables.keys()].filter((heading) => heading.startsWith("io."));
    expect(headings.filter((heading) => !uris.has(heading))).toEqual([]);
  });
});
