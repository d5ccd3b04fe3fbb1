import type { Origin } from "./config-document.ts";
import { type ConfigPath, isTable } from "./schema.ts";
import { pathKey } from "./toml-lines.ts";

type Table = Readonly<Record<string, unknown>>;
export type Origins = ReadonlyMap<string, Origin>;

export interface Merged {
  readonly values: Table;
  readonly origins: Origins;
}

/**
 * Lays a later file over an earlier one, by containerd's rules:
 * - at the top and in its tables (`debug`, `grpc`), an empty value leaves what was there, and lists are joined without doubles;
 * - `proxy_plugins`, `timeouts` and `stream_processors` are replaced entry by entry;
 * - below `plugins`, tables are merged key by key, and the later value wins, lists and empty values too.
 * Each value keeps the place of the file that it came from.
 * Source: containerd cmd/containerd/server/config/config.go, mergeConfig; dario.cat/mergo, deepMerge.
 */
export function mergeDocuments(earlier: Merged, later: Merged): Merged {
  const merge = new Merge(earlier, later);
  return { values: merge.top(earlier.values, later.values), origins: merge.origins };
}

const replacedByEntry: ReadonlySet<string> = new Set(["proxy_plugins", "timeouts", "stream_processors"]);

class Merge {
  readonly origins: Map<string, Origin>;
  readonly #later: Origins;

  constructor(earlier: Merged, later: Merged) {
    this.origins = new Map(earlier.origins);
    this.#later = later.origins;
  }

  top(earlier: Table, later: Table): Table {
    return this.#entries(earlier, later, [], (key, before, value) => {
      const path = [key];
      if (key === "plugins" && isTable(before) && isTable(value)) return this.#deep(before, value, path);
      if (replacedByEntry.has(key) && isTable(before) && isTable(value))
        return this.#entries(before, value, path, (name, _old, entry) => this.#taken(entry, [...path, name]));
      return this.#field(before, value, path);
    });
  }

  /** A value of what containerd has as a structure. */
  #field(before: unknown, value: unknown, path: ConfigPath): unknown {
    if (Array.isArray(before) && Array.isArray(value)) return this.#joined(before, value, path);
    if (isTable(before) && isTable(value))
      return this.#entries(before, value, path, (key, old, one) => this.#field(old, one, [...path, key]));
    return isEmpty(value) ? before : this.#taken(value, path);
  }

  /** A value of what containerd has as an open map. */
  #deep(before: Table, value: Table, path: ConfigPath): Table {
    return this.#entries(before, value, path, (key, old, one) =>
      isTable(old) && isTable(one) ? this.#deep(old, one, [...path, key]) : this.#taken(one, [...path, key]),
    );
  }

  #entries(
    earlier: Table,
    later: Table,
    path: ConfigPath,
    merge: (key: string, before: unknown, value: unknown) => unknown,
  ): Table {
    const merged = new Map(Object.entries(earlier));
    for (const [key, value] of Object.entries(later)) {
      const before = merged.get(key);
      merged.set(key, before === undefined ? this.#taken(value, [...path, key]) : merge(key, before, value));
    }
    return Object.fromEntries(merged);
  }

  #joined(before: readonly unknown[], value: readonly unknown[], path: ConfigPath): readonly unknown[] {
    const seen = new Set(before.map((item) => JSON.stringify(item)));
    const joined = [...before];
    for (const [index, item] of value.entries()) {
      if (seen.has(JSON.stringify(item))) continue;
      this.#copy([...path, index], [...path, joined.length]);
      joined.push(item);
    }
    return joined;
  }

  #taken(value: unknown, path: ConfigPath): unknown {
    for (const [key] of below(this.origins, path)) this.origins.delete(key);
    this.#copy(path, path);
    return value;
  }

  #copy(from: ConfigPath, to: ConfigPath): void {
    for (const [key, origin] of below(this.#later, from)) this.origins.set(movedKey(key, from, to), origin);
  }
}

/** What is known of a path and of all that is below it. */
export function below(origins: Origins, path: ConfigPath): readonly (readonly [string, Origin])[] {
  const prefix = pathKey(path).slice(0, -1);
  return [...origins].filter(([key]) => key === `${prefix}]` || key.startsWith(`${prefix},`));
}

/** The key of something below `from` when that stands at `to`. */
export function movedKey(key: string, from: ConfigPath, to: ConfigPath): string {
  return `${pathKey(to).slice(0, -1)}${key.slice(pathKey(from).length - 1)}`;
}

/** As Go's zero values. */
function isEmpty(value: unknown): boolean {
  return value === "" || value === 0 || value === false || (Array.isArray(value) && value.length === 0);
}
