import { type ConfigPath, isTable } from "./schema.ts";
import { pathKey } from "./toml-lines.ts";

export interface Origin {
  readonly file: string;
  readonly line: number;
}

type Table = Readonly<Record<string, unknown>>;

/** A configuration's values, each with the file and line it came from. Immutable: every change makes another. */
export class ConfigDocument {
  readonly values: Table;
  readonly #origins: ReadonlyMap<string, Origin>;

  constructor(values: Table = {}, origins: ReadonlyMap<string, Origin> = new Map()) {
    this.values = values;
    this.#origins = origins;
  }

  /** What stands at that path; undefined when nothing does. */
  get(path: ConfigPath): unknown {
    let value: unknown = this.values;
    for (const key of path) {
      if (Array.isArray(value)) value = value[Number(key)];
      else value = isTable(value) && Object.hasOwn(value, key) ? value[key] : undefined;
    }
    return value;
  }

  /** Where that key stands, or else the closest table around it. */
  origin(path: ConfigPath): Origin | undefined {
    for (let depth = path.length; depth > 0; depth--) {
      const found = this.#origins.get(pathKey(path.slice(0, depth)));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** With that value there, said to come from where `from` stands. */
  put(path: ConfigPath, value: unknown, from?: ConfigPath): ConfigDocument {
    const origins = new Map(this.#origins);
    const origin = from === undefined ? undefined : this.origin(from);
    if (origin !== undefined) origins.set(pathKey(path), origin);
    return new ConfigDocument(putIn(this.values, path.map(String), value), origins);
  }

  remove(path: ConfigPath): ConfigDocument {
    return new ConfigDocument(removeFrom(this.values, path.map(String)), this.#origins);
  }

  /** Moves what stands at `from` to `to`, lines and all. A value that is there already stays, and `from` just goes. */
  move(from: ConfigPath, to: ConfigPath): ConfigDocument {
    const value = this.get(from);
    if (value === undefined) return this;
    const gone = this.remove(from);
    if (this.get(to) !== undefined) return gone;
    const origins = new Map(this.#origins);
    const prefix = pathKey(from).slice(0, -1);
    for (const [key, origin] of this.#origins) {
      if (key === `${prefix}]` || key.startsWith(`${prefix},`))
        origins.set(`${pathKey(to).slice(0, -1)}${key.slice(prefix.length)}`, origin);
    }
    return new ConfigDocument(putIn(gone.values, to.map(String), value), origins);
  }

  /**
   * With another document over this one, by containerd's rules: at the top, empty values leave what was there and lists
   * are joined without doubles; `proxy_plugins`, `timeouts` and `stream_processors` are replaced entry by entry; the
   * tables below `plugins` are merged key by key, and the later value wins.
   * Source: containerd cmd/containerd/server/config/config.go, mergeConfig.
   */
  mergedWith(later: ConfigDocument): ConfigDocument {
    const merged = new Map(Object.entries(this.values));
    for (const [key, value] of Object.entries(later.values)) merged.set(key, mergeTop(key, merged.get(key), value));
    return new ConfigDocument(Object.fromEntries(merged), new Map([...this.#origins, ...later.#origins]));
  }
}

const replacedByEntry: ReadonlySet<string> = new Set(["proxy_plugins", "timeouts", "stream_processors"]);

function mergeTop(key: string, earlier: unknown, later: unknown): unknown {
  if (replacedByEntry.has(key) && isTable(earlier) && isTable(later)) return { ...earlier, ...later };
  if (Array.isArray(earlier) && Array.isArray(later)) return joinLists(earlier, later);
  if (isTable(earlier) && isTable(later)) return mergeTables(earlier, later);
  return isEmpty(later) && earlier !== undefined ? earlier : later;
}

function mergeTables(earlier: Table, later: Table): Table {
  const merged = new Map(Object.entries(earlier));
  for (const [key, value] of Object.entries(later)) {
    const before = merged.get(key);
    merged.set(key, isTable(before) && isTable(value) ? mergeTables(before, value) : value);
  }
  return Object.fromEntries(merged);
}

function joinLists(earlier: readonly unknown[], later: readonly unknown[]): readonly unknown[] {
  const seen = new Set(earlier.map((item) => JSON.stringify(item)));
  return [...earlier, ...later.filter((item) => !seen.has(JSON.stringify(item)))];
}

function isEmpty(value: unknown): boolean {
  return value === "" || value === 0 || value === false || (Array.isArray(value) && value.length === 0);
}

function putIn(table: Table, path: readonly string[], value: unknown): Table {
  const [key, ...rest] = path;
  if (key === undefined) return isTable(value) ? value : table;
  const below = table[key];
  const put = rest.length === 0 ? value : putIn(isTable(below) ? below : {}, rest, value);
  return Object.fromEntries([...Object.entries(table).filter(([name]) => name !== key), [key, put]]);
}

function removeFrom(table: Table, path: readonly string[]): Table {
  const [key, ...rest] = path;
  const entries = Object.entries(table).flatMap(([name, value]): [string, unknown][] => {
    if (name !== key) return [[name, value]];
    return rest.length > 0 && isTable(value) ? [[name, removeFrom(value, rest)]] : [];
  });
  return Object.fromEntries(entries);
}
